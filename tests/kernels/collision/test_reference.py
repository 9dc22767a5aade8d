from collections import Counter

import pytest
import torch
from torch import Tensor

from cavs_kernels.collision.reference import pair_counts_reference


def slow_counts(old: Tensor, truth: Tensor, num_labels: int) -> Tensor:
    counts = torch.zeros(len(old), num_labels, num_labels, dtype=torch.int64)
    for clip, (before, now) in enumerate(zip(old, truth, strict=True)):
        pairs = Counter(zip(before.flatten().tolist(), now.flatten().tolist(), strict=True))
        for (a, b), number in pairs.items():
            if a != 0 and b not in (0, 255) and a != b:
                counts[clip, a, b] = number
    return counts


@pytest.mark.parametrize("num_labels", [2, 3, 71, 255])
@pytest.mark.parametrize("shape", [(1, 1), (3, 2, 5, 7), (4, 60)])
def test_every_pixel_is_counted_as_a_loop_counts_it(shape: tuple[int, ...], num_labels: int) -> None:
    torch.manual_seed(num_labels)
    old = torch.randint(num_labels, shape)
    truth = torch.where(torch.rand(shape) < 0.2, 255, torch.randint(num_labels, shape))
    found = pair_counts_reference(old, truth, num_labels, num_labels, 255)
    assert found.dtype == torch.int64
    assert found.equal(slow_counts(old, truth, num_labels))


def test_where_the_models_agree_nothing_is_counted() -> None:
    same = torch.randint(4, (2, 8))
    assert not pair_counts_reference(same, same, 4, 4, 255).any()


def test_views_are_counted_like_copies() -> None:
    old, truth = torch.randint(4, (6, 5, 2)).permute(2, 1, 0), torch.randint(4, (5, 2, 6)).permute(1, 0, 2)
    assert pair_counts_reference(old, truth, 4, 4, 255).equal(slow_counts(old, truth, 4))
