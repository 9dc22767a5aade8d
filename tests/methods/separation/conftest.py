"""Here a batch is of mixtures; and how a loss is compared with a slow evaluation, gradients too."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from cavs_dist.outputs.separation import Batch, Outputs

Distances = Callable[[Tensor, Tensor, Tensor], list[Tensor]]


@pytest.fixture
def batch(mixtures: Batch) -> Batch:
    return mixtures


@pytest.fixture
def student(separating_student: Outputs) -> Outputs:
    return separating_student


@pytest.fixture
def teacher(separating_teacher: Outputs) -> Outputs:
    return separating_teacher


@pytest.fixture
def slow_distances() -> Distances:
    """Return, source by source, the mean over bins of w |M - target|, one bin at a time."""

    def slow_distances(masks: Tensor, targets: Tensor, mixture: Tensor) -> list[Tensor]:
        found = []
        for b, mask in enumerate(masks):
            for n, rows in enumerate(mask):
                total = torch.zeros((), dtype=torch.float64)
                for f, row in enumerate(rows):
                    for t, value in enumerate(row):
                        weight = (1 + mixture[b, 0, f, t]).log().clamp(1e-3, 10)
                        total = total + weight * (value - targets[b, n, f, t]).abs()
                found.append(total / mask[0].numel())
        return found

    return slow_distances


@pytest.fixture
def assert_same() -> Callable[[Tensor, Tensor, Outputs], None]:
    """Compare two losses, and their gradients for all that the student gives."""

    def assert_same(found: Tensor, expected: Tensor, student: Outputs) -> None:
        torch.testing.assert_close(found, expected)
        ours, theirs = (gradients(loss, student) for loss in (found, expected))
        assert max(gradient.abs().max() for gradient in ours) > 1e-4
        for one, other in zip(ours, theirs, strict=True):
            torch.testing.assert_close(one, other)

    return assert_same


def gradients(loss: Tensor, outputs: Outputs) -> tuple[Tensor, ...]:
    every = [
        value for values in vars(outputs).values() for value in (values if isinstance(values, tuple) else (values,))
    ]
    leaves = [value for value in every if value.requires_grad]
    return torch.autograd.grad(loss, leaves, retain_graph=True, materialize_grads=True)
