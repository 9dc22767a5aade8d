"""The little that the rest needs from a process group; every function also works in a single process."""

import os
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from cavs_dist.errors import InputError


def rank() -> int:
    """Return this process's rank, 0 without a process group."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """Return the number of ranks, 1 without a process group."""
    return dist.get_world_size() if dist.is_initialized() else 1


def is_first() -> bool:
    """Tell whether this is the rank that writes and speaks."""
    return rank() == 0


def device() -> torch.device:
    """Return this rank's device: its GPU where there is one, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    return torch.device("cpu")


def barrier() -> None:
    """Wait for all ranks. Collective."""
    if dist.is_initialized():
        dist.barrier()


def sum_over_ranks(values: Tensor) -> Tensor:
    """Return the element-wise sum of `values` over all ranks (any shape, the same on each). Collective."""
    if not dist.is_initialized():
        return values
    total = values.detach().clone()
    dist.all_reduce(total)
    return total


def gather_objects(value: Any) -> list[Any]:
    """Return every rank's small Python `value`, in the order of ranks. Collective."""
    if not dist.is_initialized():
        return [value]
    values: list[Any] = [None] * world_size()
    dist.all_gather_object(values, value)
    return values


def refuse_unequal(digest: str, what: str) -> None:
    """Raise InputError naming the ranks whose `digest` of `what` differs from rank 0's. Collective."""
    digests = gather_objects(digest)
    different = [number for number, other in enumerate(digests) if other != digests[0]]
    if different:
        raise InputError(f"the {what} differs between ranks: ranks {different} do not hold what rank 0 holds")
