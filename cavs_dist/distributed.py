"""The little that the rest needs from a process group; every function also works in a single process."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import FunctionCtx

from cavs_dist.errors import InputError
from cavs_dist.pulse import waiting


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
    """Return this rank's device: its GPU where there is one, else the CPU; `meta` where that is torch's default."""
    if torch.get_default_device().type == "meta":
        return torch.device("meta")
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    return torch.device("cpu")


def barrier() -> None:
    """Wait for all ranks. Collective."""
    if dist.is_initialized():
        with waiting():
            dist.barrier()


def sum_over_ranks(values: Tensor) -> Tensor:
    """Return the element-wise sum of `values` over all ranks (any shape, the same on each). Collective."""
    if not dist.is_initialized():
        return values
    total = values.detach().clone()
    with waiting():
        dist.all_reduce(total)
    return total


def sums_and_rows(values: Tensor, row: Tensor) -> tuple[Tensor, Tensor]:
    """Return the sum of `values` [n] over all ranks, and every rank's `row` [k] as [W, k], at the cost of one sum.

    Both float32, of the same sizes on all ranks. Collective.
    """
    rows = row.new_zeros(world_size(), len(row))
    rows[rank()] = row
    total = sum_over_ranks(torch.cat((values, rows.flatten())))
    return total[: len(values)], total[len(values) :].view_as(rows)


class _Summed(torch.autograd.Function):
    """Every rank's loss depends on every rank's part, so slopes are summed too."""

    @staticmethod
    def forward(ctx: FunctionCtx, values: Tensor) -> Tensor:
        return sum_over_ranks(values)

    @staticmethod
    def backward(ctx: FunctionCtx, slope: Tensor) -> Tensor:
        return sum_over_ranks(slope.contiguous())


def summed_over_ranks(values: Tensor) -> Tensor:
    """Return what `sum_over_ranks` does, and pass gradients through it. Collective, and again in the backward pass."""
    if not dist.is_initialized():
        return values
    total: Tensor = _Summed.apply(values)
    return total


def start_sum(values: Tensor) -> Callable[[], Tensor]:
    """Begin what `sum_over_ranks` does while the caller goes on; call what is returned for the sum. Collective."""
    total = values.detach().clone()
    work = dist.all_reduce(total, async_op=True) if dist.is_initialized() else None

    def wait() -> Tensor:
        if work is not None:
            with waiting():
                work.wait()
        return total

    return wait


def largest_over_ranks(value: int) -> int:
    """Return the largest `value` of any rank. Collective."""
    if not dist.is_initialized():
        return value
    largest = torch.tensor(value, device=device())
    with waiting():
        dist.all_reduce(largest, dist.ReduceOp.MAX)
    return int(largest)


def shift(values: Tensor, distance: int) -> Tensor:
    """Send `values` to the rank `distance` ahead; return those, of the same shape, of the rank behind. Collective."""
    received = torch.empty_like(values)
    ahead, behind = (rank() + distance) % world_size(), (rank() - distance) % world_size()
    both = [dist.P2POp(dist.isend, values.contiguous(), ahead), dist.P2POp(dist.irecv, received, behind)]
    with waiting():
        for work in dist.batch_isend_irecv(both):
            work.wait()
    return received


def send_and_receive(messages: Mapping[int, Tensor], lengths: Mapping[int, int]) -> dict[int, Tensor]:
    """Send bytes to ranks and return those that come: rank -> message [n] uint8, `lengths` of those due. Collective."""
    received = {rank: torch.empty(length, dtype=torch.uint8, device=device()) for rank, length in lengths.items()}
    both = [dist.P2POp(dist.isend, message, rank) for rank, message in messages.items()]
    both += [dist.P2POp(dist.irecv, message, rank) for rank, message in received.items()]
    with waiting():
        for work in dist.batch_isend_irecv(both) if both else ():
            work.wait()
    return received


def gather_rows(rows: Tensor) -> Tensor:
    """Return the rows [n, ...] of all ranks, in the order of ranks; n may differ between them. Collective."""
    return torch.cat(_rows_of_ranks(rows)) if dist.is_initialized() else rows


def _rows_of_ranks(rows: Tensor) -> list[Tensor]:
    most = largest_over_ranks(len(rows))
    padded = torch.cat((rows, rows.new_zeros(most - len(rows), *rows.shape[1:])))
    lengths = [torch.zeros((), dtype=torch.int64, device=rows.device) for _ in range(world_size())]
    parts = [torch.empty_like(padded) for _ in range(world_size())]
    with waiting():
        dist.all_gather(lengths, torch.tensor(len(rows), device=rows.device))
        dist.all_gather(parts, padded)
    return [part[: int(length)] for part, length in zip(parts, lengths, strict=True)]


class _Gathered(torch.autograd.Function):
    """Every rank's loss depends on this rank's rows, so the slopes that all ranks have for them are summed."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        parts = _rows_of_ranks(rows)
        ctx.first = sum(len(part) for part in parts[: rank()])
        ctx.number = len(rows)
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> Tensor:
        return sum_over_ranks(slopes[0].contiguous()).narrow(0, ctx.first, ctx.number)


def gathered_rows(rows: Tensor) -> Tensor:
    """Return what `gather_rows` does, and pass gradients through it. Collective, and again in the backward pass.

    So rows need gradients on every rank or on none, and every rank's loss depends on what is returned.
    """
    if not dist.is_initialized():
        return rows
    every: Tensor = _Gathered.apply(rows)
    return every


def gather_objects(value: Any) -> list[Any]:
    """Return every rank's small Python `value`, in the order of ranks. Collective."""
    if not dist.is_initialized():
        return [value]
    values: list[Any] = [None] * world_size()
    with waiting():
        dist.all_gather_object(values, value)
    return values


@contextmanager
def together() -> Iterator[None]:
    """Run a block that holds no collective; an InputError in it on one rank is raised on all of them. Collective."""
    problem = ""
    try:
        yield
    except InputError as error:
        problem = str(error)
    problems = [found for found in gather_objects(problem) if found]
    if problems:
        raise InputError(problems[0])


def refuse_unequal(digest: bytes, what: str) -> None:
    """Raise InputError naming the ranks whose `digest` of `what` differs from rank 0's. Collective."""
    digests = gather_rows(torch.tensor([list(digest)], dtype=torch.uint8, device=device()))
    different = (digests != digests[0]).any(dim=1).nonzero().flatten().tolist()
    if different:
        raise InputError(
            f"the {what} differs between ranks: ranks {different} do not hold what rank 0 holds, and nothing was "
            "written: do all nodes have the same data and the same version of cavs_dist?"
        )
