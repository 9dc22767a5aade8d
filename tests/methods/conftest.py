"""A stage after the first: a teacher of 2 classes, a student of 4, a clip of the stage and a rehearsed one."""

import pytest
import torch
from torch import Tensor

from cavs_dist.curriculum import Stage
from cavs_dist.outputs.segmentation import Batch, Outputs


def make_outputs(num_classes: int) -> Outputs:
    def randn(*shape: int) -> Tensor:
        return torch.randn(shape, dtype=torch.float64)

    levels = (randn(4, 3, 4, 4), randn(4, 3, 2, 2))
    return Outputs(
        levels,
        randn(4, 3, 4, 4),
        randn(4, 5, 8, 8),
        randn(num_classes, 5),
        randn(num_classes),
        (randn(4, 3), randn(4, 3)),
    )


@pytest.fixture
def stage() -> Stage:
    return Stage(1, new=("bird", "train"), seen=("dog", "drum", "bird", "train"))


@pytest.fixture
def student() -> Outputs:
    torch.manual_seed(1)
    return make_outputs(5)


@pytest.fixture
def teacher() -> Outputs:
    torch.manual_seed(2)
    return make_outputs(3)


@pytest.fixture
def batch() -> Batch:
    """Two clips of two frames; the second clip comes from memory, and its second frame is not annotated."""
    torch.manual_seed(3)
    labels = torch.tensor([0, 3, 4, 255])[torch.randint(4, (4, 8, 8))]
    labels[2] = torch.tensor([0, 1, 2, 255])[torch.randint(4, (8, 8))]
    labels[3] = 255
    flags = torch.ones(2, 2, dtype=torch.bool)
    annotated = torch.tensor([[True, True], [True, False]])
    memory = torch.tensor([False, True])
    nothing = torch.zeros(4)
    weights = (annotated.flatten() / 3.0, torch.full((4,), 0.25))
    return Batch(("a", "b"), memory, nothing, nothing, labels, flags, annotated, *weights)
