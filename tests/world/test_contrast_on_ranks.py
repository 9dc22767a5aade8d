"""CrossSDC against the rows of all ranks: on 2 and 4 ranks, one of them without a row, it is that of one process."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn

from cavs_dist.losses.contrast import contrast_rows, cross_sdc

# Sources on each rank.
SOURCES = {1: [7], 2: [5, 2], 4: [3, 0, 1, 3]}
pytestmark = pytest.mark.world


def models() -> nn.ModuleDict:
    torch.manual_seed(0)
    return nn.ModuleDict({name: nn.Linear(4, 3, dtype=torch.float64) for name in ("audio", "object", "motion")})


def learn(rank: int, world: int, modalities: int) -> dict[str, Any]:
    """Return the mean over ranks of the losses, and of the gradients of the models that every rank has."""
    torch.manual_seed(1)
    seen, old = torch.randn(2, 7, 4, dtype=torch.float64)
    from_memory = torch.tensor([True, False, True, True, False, False, True])
    videos, classes = torch.tensor([5, 8, 5, 6, 8, 9, 6]), torch.tensor([1, 3, 1, 1, 3, 4, 1])
    networks = dict(list(models().items())[:modalities])
    first = sum(SOURCES[world][:rank])
    mine = slice(first, first + SOURCES[world][rank])
    current = {name: network(seen[mine]) for name, network in networks.items()}
    before = {name: network(old[mine]) for name, network in networks.items()}
    losses = torch.stack(
        cross_sdc(contrast_rows(current, before, from_memory[mine], videos[mine], classes[mine]), gather=world > 1)
    )
    weights = [weight for network in networks.values() for weight in network.parameters()]
    slopes = torch.autograd.grad(0.1 * losses[0] + 0.3 * losses[1], weights)
    return {"losses": mean_over_ranks(losses.detach(), world), "slopes": [mean_over_ranks(s, world) for s in slopes]}


def mean_over_ranks(values: Tensor, world: int) -> Tensor:
    if world > 1:
        dist.all_reduce(values)
    return values / world


def run(rank: int, world: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store{world}", rank=rank, world_size=world)
    torch.save([learn(rank, world, modalities) for modalities in (2, 3)], f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.parametrize("world", [2, 4])
def test_ranks_with_unequal_numbers_of_rows_are_one_process(tmp_path: Path, world: int) -> None:
    torch.multiprocessing.spawn(run, (world, str(tmp_path)), nprocs=world)
    expected = [learn(0, 1, modalities) for modalities in (2, 3)]
    assert all(slope.abs().max() > 1e-3 for alone in expected for slope in alone["slopes"])
    for rank in range(world):
        torch.testing.assert_close(torch.load(tmp_path / f"{rank}.pt"), expected)
