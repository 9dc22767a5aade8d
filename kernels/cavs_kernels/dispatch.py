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
    """Return the kernel where `takes_kernel(tensor)`, else `reference`. `load_kernel` imports it."""
    return load_kernel() if takes_kernel(tensor) else reference


def takes_kernel(tensor: Tensor) -> bool:
    """Tell whether an op goes to its kernel: for a CUDA or ROCm tensor, outside of a `reference_only` block.

    Machines without Triton never do. Where Triton interprets (TRITON_INTERPRET=1), the kernel is taken on every device:
    so it is tested without a GPU.
    """
    if _reference_only.get() or not (tensor.is_cuda or interpreting()) or find_spec("triton") is None:
        return False
    if not torch.compiler.is_compiling():  # Inductor has a folder of its own on every node
        keep_cache_on_this_node()
    return True


def interpreting() -> bool:
    """Tell whether Triton runs kernels as Python, as TRITON_INTERPRET=1 makes it do; without importing it."""
    return os.environ.get("TRITON_INTERPRET", "").lower() in ("1", "true", "on", "yes", "y")
