from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cavs_dist.curriculum import Stage
from cavs_dist.methods.ewc import Ewc, EwcConfig
from cavs_dist.models.iquery import StageQueries
from cavs_dist.models.norm import SyncNorm
from cavs_dist.outputs.segmentation import Batch
from cavs_dist.run_folder import read_state, write_state

FIRST = Stage(0, new=("dog", "drum"), seen=("dog", "drum"))


class Model(nn.Module):
    """Says of each frame of two pixels and three channels how near it is to its queries."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.linear = SyncNorm(3), nn.Linear(6, 4)
        self.frozen = nn.Parameter(torch.ones(4), requires_grad=False)
        self.unused = nn.Parameter(torch.ones(2))
        self.queries = StageQueries(4)

    def forward(self, batch: Batch) -> Tensor:
        rows = self.linear(self.norm(batch.frames).flatten(1)).tanh() * self.frozen
        return rows @ self.queries().T


def plain(batch: Batch, outputs: Tensor) -> dict[str, Tensor]:
    """Two terms, one by each weight."""
    return {
        "near": (batch.label_weight * (outputs - 1).square().sum(dim=1)).sum(),
        "flat": (batch.frame_weight * outputs.abs().sum(dim=1)).sum(),
    }


@pytest.fixture
def model() -> Model:
    torch.manual_seed(0)
    model = Model()
    model.queries.grow(2)
    model.norm.mean.add_(0.1)
    model.norm.var.mul_(2)
    return model


@pytest.fixture
def batches(batch: Batch) -> list[Batch]:
    """Three batches as they are read: their weights are 0 or 1."""
    torch.manual_seed(7)
    weights = {"label_weight": batch.annotated.flatten().float(), "frame_weight": torch.ones(4)}
    return [replace(batch, frames=torch.randn(4, 3, 1, 2), **weights) for _ in range(3)]


def slow_fisher(model: Model, batches: list[Batch]) -> dict[str, Tensor]:
    """The mean over batches of the square of the gradient of each one's mean loss, in float64."""
    model = deepcopy(model).double().eval()
    found = {name: torch.zeros_like(value) for name, value in model.named_parameters() if value.requires_grad}
    for batch in batches:
        model.zero_grad()
        said = model(replace(batch, frames=batch.frames.double()))
        near = (said[:3] - 1).square().sum(dim=1).mean()  # the last frame is not annotated
        (near + said.abs().sum(dim=1).mean()).backward()
        for name, value in model.named_parameters():
            if value.grad is not None:
                found[name] += value.grad.square() / len(batches)
    return found


def ended(model: Model, batches: list[Batch], **config: Any) -> Ewc:
    method = Ewc(EwcConfig(**config), plain)
    method.end(FIRST, model, iter(batches))
    return method


def moved(model: nn.Module) -> None:
    with torch.no_grad():
        for value in model.parameters():
            value.add_(torch.randn_like(value))


def test_the_fisher_information_is_that_of_each_batch_s_mean_loss(model: Model, batches: list[Batch]) -> None:
    statistics = {name: value.clone() for name, value in model.named_buffers()}
    fisher = ended(model, batches).fisher
    torch.testing.assert_close(dict(model.named_buffers()), statistics, rtol=0, atol=0)
    torch.testing.assert_close(fisher, slow_fisher(model, batches), check_dtype=False, rtol=1e-4, atol=1e-6)
    assert fisher.keys() == {"norm.weight", "norm.bias", "linear.weight", "linear.bias", "unused", "queries.stages.0"}
    assert fisher["linear.weight"].min() > 0 and fisher["unused"].equal(torch.zeros(2))


def test_stages_add_up_and_the_last_weights_are_kept(stage: Stage, model: Model, batches: list[Batch]) -> None:
    method = ended(model, batches)
    first = slow_fisher(model, batches)
    model.queries.grow(2)
    moved(model)
    method.end(stage, model, iter(batches[:1]))
    second = slow_fisher(model, batches[:1])
    for name, found in method.fisher.items():
        expected = second[name] + first[name] if name in first else second[name]
        torch.testing.assert_close(found, expected, check_dtype=False, rtol=1e-4, atol=1e-6)
    assert "queries.stages.1" in method.fisher
    for name, kept in method.kept.items():
        assert kept.equal(model.get_parameter(name))
    moved(model)
    assert not method.kept["linear.weight"].equal(model.linear.weight)


def test_the_penalty_and_its_gradient_equal_the_formula_after_a_save(
    model: Model, batches: list[Batch], tmp_path: Path
) -> None:
    method = ended(model, batches, hold=3.0)
    old = {name: value.detach().double() for name, value in model.named_parameters()}
    fisher = slow_fisher(model, batches)
    write_state(tmp_path / "end.pt", {"method": dict(method.state_dict())})
    copy = Ewc(EwcConfig(hold=3.0), plain)
    model.queries.grow(2)
    copy.load_state_dict(read_state(tmp_path / "end.pt")["method"], model)
    moved(model)
    [batch] = batches[:1]
    said = model(batch)
    terms = copy.loss(batch, said, None)
    hold = terms.pop("hold")
    torch.testing.assert_close(terms, plain(batch, said))
    new = {name: value.detach().double() for name, value in model.named_parameters()}
    expected = sum((fisher[name] * (new[name] - old[name]).square()).sum() for name in fisher) * 3 / 2
    torch.testing.assert_close(hold, torch.as_tensor(expected).float(), rtol=1e-4, atol=0)
    hold.backward()
    for name in fisher:
        slope = 3 * fisher[name] * (new[name] - old[name])
        torch.testing.assert_close(model.get_parameter(name).grad, slope.float(), rtol=1e-3, atol=1e-5)
    assert model.queries.stages[1].grad is None


def test_what_old_clips_needed_moves_less(model: Model, batches: list[Batch]) -> None:
    old = {name: value.clone() for name, value in model.state_dict().items()}
    fisher = ended(model, batches).fisher["linear.weight"]
    held = fisher > fisher.median()
    far = {}
    for hold in (0.0, 30.0):
        model.load_state_dict(old)
        method = ended(model, batches, hold=hold)
        method.load_state_dict(method.state_dict(), model)
        optimizer = torch.optim.SGD([model.linear.weight], lr=1e-3)
        for batch in [replace(each, frames=-each.frames) for each in batches] * 20:
            optimizer.zero_grad()
            torch.stack(list(method.loss(batch, model(batch), None).values())).sum().backward()
            optimizer.step()
        far[hold] = (model.linear.weight.detach() - old["linear.weight"]).abs()
    still = [(far[30.0][part].sum() / far[0.0][part].sum()).item() for part in (held, ~held)]
    assert still[0] < 0.5 and still[0] < 0.8 * still[1]


def test_at_stage_0_nothing_is_held(model: Model, batches: list[Batch]) -> None:
    method = Ewc(EwcConfig(), plain)
    said = model(batches[0])
    torch.testing.assert_close(method.loss(batches[0], said, None), plain(batches[0], said))
    method.load_state_dict(method.state_dict(), model)
    assert "hold" not in method.loss(batches[0], said, None)
