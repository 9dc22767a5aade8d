"""A stage after the first: a teacher of 2 classes, a student of 4, clips of the stage and rehearsed ones.

`batch`, `student` and `teacher` segment; `mixtures`, `separating_student` and `separating_teacher` separate.
"""

import pytest
import torch
from torch import Tensor

from cavs_dist.curriculum import Stage
from cavs_dist.outputs import separation
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


def make_separated(num_classes: int, trained: bool) -> separation.Outputs:
    """Outputs for 3 mixtures of 2 sources, 4 x 3 bins; what a model computes requires gradients if it is `trained`."""

    def randn(*shape: int) -> Tensor:
        return torch.randn(shape, dtype=torch.float64, requires_grad=trained)

    def rand(*shape: int) -> Tensor:
        return torch.rand(shape, dtype=torch.float64)

    sources = 3 * rand(3, 2, 4, 3)
    return separation.Outputs(
        mixture=sources.sum(dim=1, keepdim=True) * rand(3, 1, 4, 3),
        sources=sources,
        masks=rand(3, 2, 4, 3).requires_grad_(trained),
        audio=randn(6, 5),
        object=randn(6, 5),
        motion=randn(6, 5),
        attention=rand(6, 7).softmax(dim=1).requires_grad_(trained),
        maps=(randn(3, 2, 4, 4), randn(3, 3, 2, 2)),
        queries=randn(3, 2, num_classes, 2),
        sound=randn(3, 2, 4, 3),
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


@pytest.fixture
def mixtures() -> separation.Batch:
    """Three mixtures of two sources; the second and the third source come from memory, as does the last."""
    torch.manual_seed(4)
    memory = torch.tensor([False, True, True, False, False, True])
    nothing = torch.zeros(6, 0)
    return separation.Batch(
        keys=tuple("abcdab"),
        from_memory=memory,
        waveforms=torch.randn(6, 30, dtype=torch.float64),
        frames=nothing,
        objects=nothing,
        motion=nothing,
        classes=torch.tensor([2, 0, 1, 3, 2, 0]),
        videos=torch.tensor([11, 12, 13, 14, 11, 12]),
        weight=torch.full((6,), 1 / 6, dtype=torch.float64),
        memory_weight=memory.double() / 3,
    )


@pytest.fixture
def separating_student() -> separation.Outputs:
    torch.manual_seed(5)
    return make_separated(4, trained=True)


@pytest.fixture
def separating_teacher() -> separation.Outputs:
    torch.manual_seed(6)
    return make_separated(2, trained=False)
