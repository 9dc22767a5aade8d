"""The one rule that chooses, at every call, between a Triton kernel and its reference."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from torch import Tensor

Op = TypeVar("Op", bound=Callable[..., object])
_reference_only: ContextVar[bool] = ContextVar("reference_only", default=False)


@contextmanager
def reference_only() -> Iterator[None]:
    """Make every op run its reference inside the `with` block, whatever the device."""
    token = _reference_only.set(True)
    try:
        yield
    finally:
        _reference_only.reset(token)


def choose(reference: Op, kernel: Op | None, tensor: Tensor) -> Op:
    """Return `kernel` for a CUDA or ROCm tensor if there is one and nothing forces the reference, else `reference`."""
    if kernel is None or not tensor.is_cuda or _reference_only.get():
        return reference
    return kernel
