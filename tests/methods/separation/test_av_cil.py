from collections.abc import Callable

import torch
from torch import Tensor

from cavs_dist.losses.separate import separation_loss
from cavs_dist.methods.separation.av_cil import AvCil, AvCilConfig
from cavs_dist.outputs.separation import Batch, Outputs

Distances = Callable[[Tensor, Tensor, Tensor], list[Tensor]]
Same = Callable[[Tensor, Tensor, Outputs], None]


def terms(batch: Batch, student: Outputs, teacher: Outputs | None) -> dict[str, Tensor]:
    return AvCil(AvCilConfig(), separation_loss).loss(batch, student, teacher)


def slow_contrast(outputs: Outputs, ids: Tensor) -> Tensor:
    """Sound to object and object to sound, over current rows alone, at temperature 0.1."""
    total = torch.zeros((), dtype=torch.float64)
    for one, other in ((outputs.audio, outputs.object), (outputs.object, outputs.audio)):
        for i, row in enumerate(one):
            log_p = torch.stack([torch.cosine_similarity(row, each, dim=0) / 0.1 for each in other]).log_softmax(dim=0)
            total = total - log_p[ids == ids[i]].mean() / len(ids) / 2
    return total


def test_all_terms_equal_their_formulas(
    batch: Batch, student: Outputs, teacher: Outputs, slow_distances: Distances, assert_same: Same
) -> None:
    memory = batch.from_memory.nonzero().flatten().tolist()
    distances = slow_distances(student.masks, teacher.masks, student.mixture)
    surprise = [
        sum(p * (p / q).log() for p, q in zip(teacher.attention[n], student.attention[n], strict=True)) for n in memory
    ]
    parts = {
        "masks": separation_loss(batch, student)["masks"],
        "instance": 0.5 * slow_contrast(student, batch.videos),
        "class": slow_contrast(student, batch.classes),
        "distill": torch.stack([distances[n] for n in memory]).mean(),
        "attention": 0.5 * torch.stack([torch.as_tensor(one) for one in surprise]).mean(),
    }
    found = terms(batch, student, teacher)
    torch.testing.assert_close(found, parts)
    total, expected = (torch.stack(list(each.values())).sum() for each in (found, parts))
    assert_same(total, expected, student)


def test_at_stage_0_the_contrasts_alone_are_added(batch: Batch, student: Outputs, teacher: Outputs) -> None:
    found, later = terms(batch, student, None), terms(batch, student, teacher)
    assert list(found) == ["masks", "instance", "class"]
    torch.testing.assert_close(found, {name: later[name] for name in found})
