import math

import pytest
import torch

from cavs_dist.memory.herding import class_features, distances_to_mean
from cavs_dist.outputs.segmentation import Batch


def make_batch(labels: torch.Tensor) -> Batch:
    """Two clips of two frames."""
    frames, ones = len(labels), torch.ones(len(labels))
    present = torch.ones(2, 2, dtype=torch.bool)
    empty = torch.zeros(frames, 1, 1, 1)
    return Batch(("a", "b"), torch.zeros(2, dtype=torch.bool), empty, empty, labels, present, present, ones, ones)


def test_a_feature_is_the_mean_over_the_class_s_pixels() -> None:
    torch.manual_seed(0)
    labels = torch.tensor([0, 1, 2, 255])[torch.randint(0, 4, (4, 6, 8))]
    labels[2:][labels[2:] == 2] = 0  # the second clip has no class 2
    maps = torch.randn(4, 3, 3, 4)
    found = {(label, key): feature for label, key, feature in class_features(make_batch(labels), maps)}
    assert set(found) == {(1, "a"), (2, "a"), (1, "b")}
    for (label, key), feature in found.items():
        frames = range(2) if key == "a" else range(2, 4)
        pixels = [(n, i, j) for n in frames for i in range(6) for j in range(8) if labels[n, i, j] == label]
        for channel in range(3):
            slow = sum(float(maps[n, channel, i // 2, j // 2]) for n, i, j in pixels) / len(pixels)
            assert feature[channel].item() == pytest.approx(slow, abs=1e-9)


def test_distances_are_to_the_mean() -> None:
    features = {"a": [0.0, 0.0], "b": [2.0, 0.0], "c": [1.0, 3.0]}
    rows = {key: torch.tensor(feature, dtype=torch.float64) for key, feature in features.items()}
    assert distances_to_mean(rows) == pytest.approx({"a": math.sqrt(2), "b": math.sqrt(2), "c": 2.0})
    assert distances_to_mean(dict(reversed(rows.items()))) == distances_to_mean(rows)
    assert distances_to_mean({"a": rows["a"]}) == {"a": 0.0} and distances_to_mean({}) == {}
