import math

import pytest
import torch
from torch import Tensor

from cavs_dist.losses.pseudo import entropy_counts, median_entropies, medians
from cavs_dist.outputs.segmentation import Batch, Outputs


def teacher(num_classes: int, scale: float, frames: int = 2, size: tuple[int, int] = (9, 11)) -> Outputs:
    """A teacher whose logits are its features; the larger `scale`, the surer it is."""
    features = scale * torch.randn(frames, num_classes, *size, dtype=torch.float64)
    identity = torch.eye(num_classes, dtype=torch.float64)
    return Outputs((), features, features, identity, torch.zeros(num_classes, dtype=torch.float64))


def batch(labels: Tensor) -> Batch:
    none = torch.zeros(1)
    flags = torch.ones(1, len(labels), dtype=torch.bool)
    return Batch(("clip",), torch.zeros(1, dtype=torch.bool), none, none, labels, flags, flags, none, none)


def slow_entropy(logits: Tensor) -> float:
    p = (logits.exp() / logits.exp().sum()).tolist()
    return -sum(value * math.log(value) for value in p if value > 0) / math.log(len(p))


def slow_guesses(outputs: Outputs, labels: Tensor) -> dict[int, list[float]]:
    """Entropies of the background pixels, by the class that the teacher predicts."""
    found: dict[int, list[float]] = {c: [] for c in range(outputs.num_classes)}
    for n, y, x in (labels == 0).nonzero().tolist():
        logits = outputs.features[n, :, y, x]
        found[int(logits.argmax())].append(slow_entropy(logits))
    return found


@pytest.mark.parametrize("scale", [0.3, 3.0, 12.0])
@pytest.mark.parametrize("num_old", [1, 3])
def test_medians_are_those_of_the_background_pixels_of_all_clips(num_old: int, scale: float) -> None:
    torch.manual_seed(num_old)
    clips = [
        (batch(torch.tensor([0, 0, 255, num_old + 1])[torch.randint(4, (2, 9, 11))]), teacher(num_old + 1, scale))
        for _ in range(3)
    ]
    found = median_entropies(clips, num_old)
    for c in range(num_old + 1):
        entropies = [u for b, outputs in clips for u in slow_guesses(outputs, b.labels)[c]]
        exact = torch.tensor(entropies).median().item()
        assert found[c].item() == pytest.approx(exact, rel=0.006)
        assert sum(u < found[c].item() for u in entropies) * 2 >= len(entropies)


def test_a_class_that_is_never_predicted_is_never_trusted() -> None:
    outputs = teacher(3, 1.0)
    outputs.features[:, 2] = -50
    labels = torch.zeros(2, 9, 11, dtype=torch.int64)
    thresholds = medians(entropy_counts(labels, outputs))
    assert thresholds[2] == 0
    assert (thresholds[:2] > 0).all()
    assert median_entropies([], num_old=2).tolist() == [0, 0, 0]
