"""The one rule that chooses, at every call, between a Triton kernel and its reference."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TypeVar

import torch
from torch import Tensor

from cavs_kernels.cache import keep_cache_on_this_node

Op = TypeVar("Op", bound=Callable[..., object])


class _Thread(threading.local):
    """What holds in one thread; of a kind that torch.compile can read."""

    reference_only = False


_thread = _Thread()


@contextmanager
def reference_only() -> Iterator[None]:
    """Make every op run its reference inside the `with` block, whatever the device."""
    before, _thread.reference_only = _thread.reference_only, True
    try:
        yield
    finally:
        _thread.reference_only = before


def choose(reference: Op, load_kernel: Callable[[], Op], tensor: Tensor) -> Op:
    """Return the kernel where `takes_kernel(tensor)`, else `reference`. `load_kernel` imports it."""
    return load_kernel() if takes_kernel(tensor) else reference


def takes_kernel(tensor: Tensor) -> bool:
    """Tell whether an op goes to its kernel: for a CUDA or ROCm tensor, outside of a `reference_only` block.

    Machines without Triton never do. Kernels work in float32 at most, so float64 does not. Where Triton interprets
    (TRITON_INTERPRET=1), the kernel is taken on every device: so it is tested without a GPU.
    """
    if _thread.reference_only or tensor.dtype == torch.float64:
        return False
    return (tensor.is_cuda or interpreting()) and find_spec("triton") is not None


@contextmanager
def launching(tensor: Tensor) -> Iterator[None]:
    """Launch on the tensor's device, which need not be the current one, with what is compiled kept on this node."""
    keep_cache_on_this_node()
    with torch.cuda.device_of(tensor):  # type: ignore[no-untyped-call]
        yield


def interpreting() -> bool:
    """Tell whether Triton runs kernels as Python, as TRITON_INTERPRET=1 makes it do; without importing it."""
    return os.environ.get("TRITON_INTERPRET", "").lower() in ("1", "true", "on", "yes", "y")
