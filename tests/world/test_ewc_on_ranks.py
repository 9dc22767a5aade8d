"""EWC's Fisher information over ranks, one of which may have no batch: that of one process, the same on each."""

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn

from cavs_dist.curriculum import Stage
from cavs_dist.methods.ewc import Ewc, EwcConfig
from cavs_dist.outputs.segmentation import Batch

STAGE = Stage(0, new=("dog", "drum"), seen=("dog", "drum"))
BATCHES = 5
# The batches of each rank.
PARTS = {1: [range(BATCHES)], 2: [range(0, 5, 2), range(1, 5, 2)], 4: [range(0), range(2), range(2, 3), range(3, 5)]}
pytestmark = pytest.mark.world


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 3)

    def forward(self, batch: Batch) -> Tensor:
        return self.linear(batch.frames).tanh()


def plain(batch: Batch, outputs: Tensor) -> dict[str, Tensor]:
    return {
        "near": (batch.label_weight * (outputs - 1).square().sum(dim=1)).sum(),
        "flat": (batch.frame_weight * outputs.abs().sum(dim=1)).sum(),
    }


def batch_of(number: int) -> Batch:
    """Two frames, of which the first has labels."""
    torch.manual_seed(number)
    frames, memory, annotated = torch.randn(2, 6), torch.zeros(1).bool(), torch.eye(2)[0].bool()
    weights, nothing = (annotated.float(), torch.ones(2)), torch.zeros(0)
    return Batch(("",), memory, frames, nothing, nothing, annotated[None], annotated[None], *weights)


def fisher(part: range) -> dict[str, Tensor]:
    torch.manual_seed(0)
    ewc, models = Ewc(EwcConfig(), plain), (Model(), Model())
    for model in models:  # what the second stage adds comes to the first's
        ewc.end(STAGE, model, (batch_of(number) for number in part))
    return ewc.fisher


def run(rank: int, world: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=world)
    torch.save(fisher(PARTS[world][rank]), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.parametrize("world", [2, 4])
def test_ranks_weigh_what_one_process_does(tmp_path: Path, world: int) -> None:
    torch.multiprocessing.spawn(run, (world, str(tmp_path)), nprocs=world)
    alone, ranks = fisher(range(BATCHES)), [torch.load(tmp_path / f"{rank}.pt") for rank in range(world)]
    assert all(squares.max() > 0.01 for squares in alone.values())
    for found in ranks:
        assert found.keys() == alone.keys()
        for name, squares in alone.items():
            torch.testing.assert_close(found[name], squares, rtol=1e-5, atol=0)
            assert torch.equal(found[name], ranks[0][name])
