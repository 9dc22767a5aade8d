from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from cavs_dist.curriculum import Stage
from cavs_dist.losses.segment import segmentation_loss
from cavs_dist.methods.ewf import Ewf, EwfConfig
from cavs_dist.models.iquery import StageQueries
from cavs_dist.models.norm import SyncNorm
from cavs_dist.outputs.segmentation import Batch, Outputs
from cavs_dist.run_folder import read_state, write_state

FIRST = Stage(0, new=("dog", "drum"), seen=("dog", "drum"))


class Model(nn.Module):
    """Weights, running statistics of two kinds, one of which counts, and rows that stages add."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.sync, self.norm = nn.Linear(3, 2), SyncNorm(2), nn.BatchNorm1d(2)
        self.queries = StageQueries(4)


def trained(*stages: int, seed: int) -> Model:
    """A model with random weights and statistics; it has counted `seed` batches."""
    torch.manual_seed(seed)
    model = Model()
    for number in stages:
        model.queries.grow(number)
    for value in model.state_dict().values():
        value.copy_(torch.full_like(value, seed) if value.dtype == torch.int64 else torch.rand_like(value))
    return model


def copied(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


@pytest.mark.parametrize("share", [0.25, 0.5, 0.9])
def test_old_weights_and_statistics_are_fused_and_the_rest_stays(stage: Stage, tmp_path: Path, share: float) -> None:
    before, model = trained(2, seed=3), trained(2, 2, seed=8)
    method = Ewf(EwfConfig(new=share), segmentation_loss)
    untouched = copied(before)
    method.end(FIRST, before, iter([]))
    torch.testing.assert_close(copied(before), untouched, rtol=0, atol=0)
    write_state(tmp_path / "end.pt", {"method": dict(method.state_dict())})
    again = Ewf(EwfConfig(new=share), segmentation_loss)
    again.load_state_dict(read_state(tmp_path / "end.pt")["method"], model)
    new = copied(model)
    again.end(stage, model, iter([]))
    found = copied(model)
    assert {name for name in found if name not in untouched} == {"queries.stages.1"}
    assert {"linear.weight", "sync.mean", "sync.var", "norm.running_mean", "queries.stages.0"} <= untouched.keys()
    for name, value in found.items():
        kept = name == "queries.stages.1" or name == "norm.num_batches_tracked"
        expected = new[name] if kept else share * new[name] + (1 - share) * untouched[name]
        torch.testing.assert_close(value, expected, rtol=0 if kept else 1e-6, atol=0 if kept else 1e-7)


def test_a_stage_is_fused_with_what_the_last_one_kept(stage: Stage) -> None:
    method, model = Ewf(EwfConfig(), segmentation_loss), trained(2, seed=1)
    for value, kept in ((1.0, 1.0), (3.0, 2.0), (5.0, 3.5)):
        nn.init.constant_(model.linear.bias, value)
        method.end(stage, model, iter([]))
        torch.testing.assert_close(model.linear.bias.detach(), torch.full((2,), kept))


def test_the_loss_is_the_task_s_own(batch: Batch, student: Outputs, teacher: Outputs) -> None:
    found = Ewf(EwfConfig(), segmentation_loss).loss(batch, student, teacher)
    torch.testing.assert_close(found, segmentation_loss(batch, student))
    assert not Ewf.teacher
