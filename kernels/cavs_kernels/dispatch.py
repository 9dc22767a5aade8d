"""The one rule that chooses, at every call, between a Triton kernel and its reference."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.util import find_spec
from typing import TypeVar

import torch
from torch import Tensor

from cavs_kernels.cache import keep_cache_on_this_node

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


def choose(reference: Op, load_kernel: Callable[[], Op], tensor: Tensor) -> Op:
    """Return the kernel for a CUDA or ROCm tensor, else `reference`, which a `reference_only` block forces too.

    `load_kernel` imports it: machines without Triton never do. Where Triton interprets (TRITON_INTERPRET=1), the kernel
    is taken on every device: so it is tested without a GPU.
    """
    if _reference_only.get() or not (tensor.is_cuda or interpreting()) or find_spec("triton") is None:
        return reference
    if not torch.compiler.is_compiling():  # Inductor has a folder of its own on every node
        keep_cache_on_this_node()
    return load_kernel()


def interpreting() -> bool:
    """Tell whether Triton runs kernels as Python, as TRITON_INTERPRET=1 makes it do; without importing it."""
    return os.environ.get("TRITON_INTERPRET", "").lower() in ("1", "true", "on", "yes", "y")
