import math
from typing import Any

import pytest
import torch
from torch import nn

from cavs_dist.curriculum import Stage
from cavs_dist.losses.match import matching
from cavs_dist.losses.pod import pod_distillation
from cavs_dist.losses.pseudo import median_entropies
from cavs_dist.losses.segment import segmentation_loss
from cavs_dist.methods.segmentation.cmr import Cmr, CmrConfig
from cavs_dist.outputs.segmentation import Batch, Outputs
from cavs_kernels.segmentation_loss.reference import Rules, Terms, segmentation_terms_reference

INFINITE = torch.full((3,), math.inf)


@pytest.fixture
def parts(stage: Stage, batch: Batch, student: Outputs, teacher: Outputs) -> tuple[Any, ...]:
    return stage, batch, student, teacher


def terms(parts: tuple[Any, ...], **switches: Any) -> dict[str, torch.Tensor]:
    stage, batch, student, teacher = parts
    method = Cmr(CmrConfig(**switches), segmentation_loss)
    method.begin(stage, nn.Identity(), iter([(batch, teacher)]))
    copy = Cmr(CmrConfig(**switches), segmentation_loss)
    copy.load_state_dict(method.state_dict(), nn.Identity())
    return copy.loss(batch, student, teacher)


def reference(parts: tuple[Any, ...], thresholds: torch.Tensor | None, guesses: torch.Tensor) -> Terms:
    _, batch, student, teacher = parts
    rules = Rules(3, thresholds=thresholds, guesses=guesses)
    return segmentation_terms_reference(student.head, batch.labels, teacher.head, rules)


@pytest.mark.parametrize("pseudo", ["median", "all", "none"])
@pytest.mark.parametrize("memory_labels", ["keep", "pseudo"])
def test_what_background_becomes(parts: tuple[Any, ...], pseudo: str, memory_labels: str) -> None:
    _, batch, _, teacher = parts
    thresholds = {"all": INFINITE, "median": median_entropies([(batch, teacher)], 2), "none": None}[pseudo]
    guesses = torch.tensor([True, True, False, False]) | (memory_labels == "pseudo")
    expected = reference(parts, thresholds, guesses)
    found = terms(parts, pseudo=pseudo, memory_labels=memory_labels)
    assert list(found) == ["segment", "pod"]
    torch.testing.assert_close(found["segment"], expected.cross_entropy[:3].mean())


def test_pod_has_the_paper_s_weights_and_grows_when_asked(parts: tuple[Any, ...]) -> None:
    pod = pod_distillation(*parts[2:], 0.01, 0.0005).mean()
    torch.testing.assert_close(terms(parts)["pod"], pod)
    torch.testing.assert_close(terms(parts, schedule=True)["pod"], math.sqrt(5 / 2) * pod)


def test_the_adaptive_factor_weighs_frames(parts: tuple[Any, ...]) -> None:
    _, batch, _, teacher = parts
    thresholds = median_entropies([(batch, teacher)], 2)
    found = reference(parts, thresholds, torch.tensor([True, True, False, False]))
    assert (found.accepted[:2] < 1).all()
    expected = (found.accepted * found.cross_entropy)[:3].mean()
    torch.testing.assert_close(terms(parts, adaptive=True)["segment"], expected)


def test_matching_is_a_term_of_its_own(parts: tuple[Any, ...]) -> None:
    torch.testing.assert_close(terms(parts, matching=0.5)["matching"], 0.5 * matching(parts[2]).mean())


class Model(nn.Module):
    """Two heads, as a segmenter has after two stages."""

    def __init__(self) -> None:
        super().__init__()
        self.heads = nn.Module()
        self.heads.heads = nn.ModuleList([nn.Linear(5, 3), nn.Linear(5, 2)])


@pytest.mark.parametrize("align", [True, False])
def test_alignment_gives_new_classifiers_the_old_ones_mean_length(stage: Stage, align: bool) -> None:
    torch.manual_seed(0)
    model = Model()
    first, second = (head.weight for head in model.heads.heads)
    before = (first.clone(), second.clone())
    Cmr(CmrConfig(align=align), segmentation_loss).end(stage, model, iter([]))
    assert torch.equal(first, before[0])
    assert torch.equal(second, before[1]) != align
    if align:
        torch.testing.assert_close(second.norm(dim=1).mean(), first[1:].norm(dim=1).mean())
        torch.testing.assert_close(second / second.norm(), before[1] / before[1].norm())
