from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from cavs_dist import distributed
from cavs_dist.errors import InputError


def test_alone() -> None:
    """The process may be the only rank of a group, if another test has started one: that changes nothing."""
    values = torch.tensor([1.0, 2.0])
    assert (distributed.rank(), distributed.world_size(), distributed.is_first()) == (0, 1, True)
    assert distributed.sum_over_ranks(values).equal(values)
    assert distributed.gather_objects({"a": 1}) == [{"a": 1}]
    distributed.barrier()
    distributed.refuse_unequal(b"digest", "memory")
    total, rows = distributed.sums_and_rows(values, torch.tensor([5.0]))
    assert total.equal(values) and rows.tolist() == [[5.0]]
    assert distributed.start_sum(values)().equal(values)
    assert distributed.largest_over_ranks(7) == 7
    assert distributed.gather_rows(values).equal(values)
    assert distributed.gathered_rows(values).equal(values)
    with pytest.raises(InputError, match="alone"), distributed.together():
        raise InputError("alone")
    assert distributed.device().type == ("cuda" if torch.cuda.is_available() else "cpu")
    with torch.device("meta"):
        assert distributed.device().type == "meta"


def slopes_of_gathered(rank: int) -> list[list[float]]:
    """The slopes of rank 0's row and of rank 1's two, of which rank r's loss is (1 + r) (1, 2, 4) . rows."""
    rows = torch.zeros(1 + rank, 1, requires_grad=True)
    loss = (1 + rank) * (torch.tensor([[1.0], [2.0], [4.0]]) * distributed.gathered_rows(rows)).sum()
    slopes: list[list[float]] = torch.autograd.grad(loss, rows)[0].tolist()
    return slopes


def rank_of_two(rank: int, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    values = torch.full((2, 3), rank + 1)
    found = [
        (distributed.rank(), distributed.world_size(), distributed.is_first()),
        distributed.sum_over_ranks(values).tolist(),
        values.tolist(),
        distributed.gather_objects(f"from {rank}"),
        distributed.start_sum(values)().tolist(),
        distributed.largest_over_ranks(5 + rank),
        distributed.shift(values, 1).tolist(),
        distributed.gather_rows(values[: 2 * rank]).tolist(),
        slopes_of_gathered(rank),
        [part.tolist() for part in distributed.sums_and_rows(torch.ones(2), torch.tensor([rank + 0.1, 7.0]))],
    ]
    distributed.refuse_unequal(b"the same", "memory")
    try:
        distributed.refuse_unequal(f"rank {rank}'s".encode(), "memory")
    except InputError as error:
        found.append(str(error))
    try:
        with distributed.together():
            if rank == 1:
                raise InputError("one rank's trouble")
    except InputError as error:
        found.append(str(error))
    with distributed.together():
        pass
    distributed.barrier()
    torch.save(found, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.world
def test_two_ranks(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(rank_of_two, (str(tmp_path),), nprocs=2)
    for rank in range(2):
        who, total, kept, gathered, later, largest, behind, rows, *others = torch.load(tmp_path / f"{rank}.pt")
        slopes, (sums, own), refusal, trouble = others
        assert who == (rank, 2, rank == 0)
        assert total == later == [[3] * 3] * 2 and kept == [[rank + 1] * 3] * 2
        assert largest == 6 and behind == [[2 - rank] * 3] * 2 and rows == [[2] * 3] * 2
        assert slopes == ([[3]], [[6], [12]])[rank]
        assert sums == [2, 2] and own == [[pytest.approx(each), 7] for each in (0.1, 1.1)]
        assert gathered == ["from 0", "from 1"]
        assert refusal.startswith("the memory differs between ranks: ranks [1] do not hold what rank 0 holds")
        assert trouble == "one rank's trouble"
