from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from cavs_dist.losses.separate import separation_loss
from cavs_dist.methods.separation.plop import Plop, PlopConfig
from cavs_dist.outputs.separation import Batch, Outputs

Same = Callable[[Tensor, Tensor, Outputs], None]


def slow_pod(ours: Tensor, old: Tensor) -> Tensor:
    """The distance of two [C, H, W] maps: means over rows and columns of s x s windows of their squares."""
    pieces = []
    for scale in (1, 2, 4):
        high, wide = (max(1, side // scale) for side in ours.shape[1:])
        for top in range(0, ours.shape[1] - high + 1, high):
            for left in range(0, ours.shape[2] - wide + 1, wide):
                window = (slice(None), slice(top, top + high), slice(left, left + wide))
                difference = ours[window].square() - old[window].square()
                pieces += [difference.mean(dim=2).flatten(), difference.mean(dim=1).flatten()]
    return torch.cat(pieces).norm()


def test_local_pod_of_every_map_counts_by_the_weight_of_the_mixture(
    batch: Batch, student: Outputs, teacher: Outputs, assert_same: Same
) -> None:
    unequal = replace(batch, weight=torch.arange(1.0, 7, dtype=torch.float64) / 21)
    terms = Plop(PlopConfig(), separation_loss).loss(unequal, student, teacher)
    torch.testing.assert_close(terms["masks"], separation_loss(unequal, student)["masks"])
    expected = torch.zeros((), dtype=torch.float64)
    for b, weight in enumerate((3 / 21, 7 / 21, 11 / 21)):
        pods = [slow_pod(ours[b], old[b]) for ours, old in zip(student.maps, teacher.maps, strict=True)]
        expected = expected + 0.01 * weight * sum(pods) / 2
    assert_same(100 * terms["pod"], 100 * expected, student)


def test_equal_maps_cost_nothing_and_pull_nowhere(batch: Batch, student: Outputs, teacher: Outputs) -> None:
    same = replace(teacher, maps=tuple(maps.detach().clone() for maps in student.maps))
    pod = Plop(PlopConfig(), separation_loss).loss(batch, student, same)["pod"]
    assert pod == 0
    assert all(gradient.count_nonzero() == 0 for gradient in torch.autograd.grad(pod, student.maps))
