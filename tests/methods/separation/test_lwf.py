from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from cavs_dist.losses.separate import separation_loss
from cavs_dist.methods.separation.lwf import Lwf, LwfConfig
from cavs_dist.outputs.separation import Batch, Outputs

Distances = Callable[[Tensor, Tensor, Tensor], list[Tensor]]
Same = Callable[[Tensor, Tensor, Outputs], None]


def distillation(batch: Batch, student: Outputs, teacher: Outputs, weight: float = 1.0) -> Tensor:
    terms = Lwf(LwfConfig(distill=weight), separation_loss).loss(batch, student, teacher)
    torch.testing.assert_close(terms.pop("masks"), separation_loss(batch, student)["masks"])
    return terms.pop("distill")


def slow_mask(outputs: Outputs, mixture: int, source: int, query: int) -> Tensor:
    asked = outputs.queries[mixture, source, query]
    return (asked[0] * outputs.sound[mixture, 0] + asked[1] * outputs.sound[mixture, 1]).sigmoid()


def test_every_old_query_s_mask_is_distilled_for_every_source(
    batch: Batch, student: Outputs, teacher: Outputs, slow_distances: Distances, assert_same: Same
) -> None:
    unequal = replace(batch, weight=torch.arange(1.0, 7, dtype=torch.float64) / 21)
    expected = torch.zeros((), dtype=torch.float64)
    for source in range(6):
        b, n = divmod(source, 2)
        ours, old = (torch.stack([slow_mask(each, b, n, q) for q in range(2)]) for each in (student, teacher))
        distances = slow_distances(ours[None], old[None], student.mixture[b : b + 1])
        expected = expected + (source + 1) / 21 * torch.stack(distances).mean()
    assert_same(distillation(unequal, student, teacher), expected, student)


def test_without_queries_the_sources_own_masks_are(
    batch: Batch, student: Outputs, teacher: Outputs, slow_distances: Distances, assert_same: Same
) -> None:
    none = torch.zeros(3, 2, 0, 0, dtype=torch.float64)
    student, teacher = (replace(outputs, queries=none, sound=none) for outputs in (student, teacher))
    expected = torch.stack(slow_distances(student.masks, teacher.masks, student.mixture)).mean()
    assert_same(distillation(batch, student, teacher), expected, student)


def test_the_weight_is_the_config_s(batch: Batch, student: Outputs, teacher: Outputs) -> None:
    once, twice = (distillation(batch, student, teacher, weight) for weight in (1.0, 2.0))
    torch.testing.assert_close(2 * once, twice)
