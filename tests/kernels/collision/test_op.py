from fractions import Fraction

import pytest
import torch

from cavs_kernels.collision import collisions
from cavs_kernels.collision.reference import pair_counts_reference
from cavs_kernels.head import Head


def clip(*counts: tuple[int, int, int], pixels: int = 400) -> tuple[torch.Tensor, torch.Tensor]:
    """One clip with `number` pixels that were `old` and are `new`, for each (old, new, number); the rest background."""
    old, truth = torch.zeros(1, pixels, dtype=torch.int64), torch.zeros(1, pixels, dtype=torch.int64)
    start = 0
    for a, b, number in counts:
        old[0, start : start + number], truth[0, start : start + number] = a, b
        start += number
    return old, truth


def test_the_dominant_pair_of_each_clip() -> None:
    torch.manual_seed(0)
    old, truth = torch.randint(4, (40, 3, 9)), torch.randint(4, (40, 3, 9))
    found = collisions(old, truth, 4, threshold=0.3)
    for counts, a, b, recorded in zip(pair_counts_reference(old, truth, 4, 4, 255).tolist(), *found, strict=True):
        cells = [(-number, x, y) for x, row in enumerate(counts) for y, number in enumerate(row)]
        most, x, y = min(cells)
        assert (int(a), int(b)) == (x, y)
        assert bool(recorded) == (Fraction(-most, -sum(cell[0] for cell in cells)) > Fraction(3, 10))
    assert found.recorded.any() and not found.recorded.all()


def test_ties_go_to_the_smallest_pair() -> None:
    found = collisions(*clip((3, 1, 5), (2, 3, 5), (1, 4, 4)), 5)
    assert [value.item() for value in found] == [2, 3, False]


@pytest.mark.parametrize("threshold", ["0.5", "0.65", "0.7", "0.84"])
def test_a_share_of_exactly_the_threshold_is_no_collision(threshold: str) -> None:
    share = Fraction(threshold)
    for total in range(share.denominator, 400, share.denominator):
        most = int(share * total)
        at = collisions(*clip((1, 2, most), (2, 1, total - most)), 3, float(threshold))
        above = collisions(*clip((1, 2, most + 1), (2, 1, total - most - 1)), 3, float(threshold))
        assert (at.recorded.item(), above.recorded.item()) == (False, True), total


def test_nothing_is_recorded_where_nothing_differs() -> None:
    for old, truth in (clip(), clip((1, 1, 9)), clip((1, 255, 9)), clip((0, 2, 9), (2, 0, 9))):
        assert [value.item() for value in collisions(old, truth, 3)] == [0, 0, False]


def test_a_single_class_cannot_collide() -> None:
    assert not collisions(torch.ones(2, 5, dtype=torch.int64), torch.ones(2, 5, dtype=torch.int64), 2).recorded.any()


def test_unequal_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"old has shape \(1, 4\), truth \(1, 5\)"):
        collisions(torch.zeros(1, 4, dtype=torch.int64), torch.zeros(1, 5, dtype=torch.int64), 3)


def test_heads_logits_and_labels_say_the_same() -> None:
    torch.manual_seed(0)
    head = Head(torch.randn(6, 8, 5, 7), torch.randn(4, 8), torch.randn(4))
    truth = torch.randint(6, (2, 3, 5, 7))
    expected = collisions(head.logits().max(dim=1).indices.view_as(truth), truth, 6, 0.1)
    assert expected.recorded.any()
    for old in (head, head.logits()):
        assert all(a.equal(b) for a, b in zip(collisions(old, truth, 6, 0.1), expected, strict=True))


def test_maps_that_do_not_fit_are_refused() -> None:
    head, truth = Head(torch.zeros(6, 8, 5, 7), torch.zeros(4, 8), torch.zeros(4)), torch.zeros(2, 3, 5, 7).long()
    with pytest.raises(ValueError, match=r"shape \(6, 8, 5, 7\), truth \(2, 3, 7, 5\): no fit"):
        collisions(head, truth.transpose(2, 3), 6)
    with pytest.raises(ValueError, match="the old model knows 4 labels, more than the 3"):
        collisions(head, truth, 3)
