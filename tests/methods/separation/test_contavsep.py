from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from typing import Any

import torch
from torch import Tensor

from cavs_dist.losses.separate import separation_loss
from cavs_dist.methods.separation.contavsep import ContAVSep, ContAVSepConfig
from cavs_dist.outputs.separation import Batch, Outputs

Distances = Callable[[Tensor, Tensor, Tensor], list[Tensor]]
Same = Callable[[Tensor, Tensor, Outputs], None]
NEVER = torch.zeros(6, dtype=torch.bool)


def terms(batch: Batch, student: Outputs, teacher: Outputs | None, **switches: Any) -> dict[str, Tensor]:
    return ContAVSep(ContAVSepConfig(**switches), separation_loss).loss(batch, student, teacher)


def mean(values: list[Tensor]) -> Tensor:
    return torch.stack(values).mean()


def slow_contrast(rows: list[dict[str, Tensor]], ids: list[int], temperature: float = 0.05) -> Tensor:
    """The mean over pairs of modalities of (l(X, Y) + l(Y, X)) / 2, one row after the other."""
    losses = []
    for x, y in combinations(rows[0], 2):
        for one, other in ((x, y), (y, x)):
            for i, row in enumerate(rows):
                said = [torch.cosine_similarity(row[one], each[other], dim=0) / temperature for each in rows]
                log_p = torch.stack(said).log_softmax(dim=0)
                losses.append(-mean([log_p[j] for j in range(len(rows)) if ids[i] == ids[j]]))
    return mean(losses)


def slow_rows(batch: Batch, student: Outputs, teacher: Outputs | None) -> tuple[list[dict[str, Tensor]], list[int]]:
    """The rows of all sources by the current model, then those of memory by the old one; and which source each is."""
    whose = [(student, source) for source in range(6)]
    if teacher is not None:
        whose += [(teacher, source) for source in range(6) if batch.from_memory[source]]
    rows = [{name: values[source] for name, values in model.modalities.items()} for model, source in whose]
    return rows, [source for _, source in whose]


def test_the_total_is_that_of_the_paper(
    batch: Batch, student: Outputs, teacher: Outputs, slow_distances: Distances, assert_same: Same
) -> None:
    """Main + 0.3 distillation + 0.1 instance + 0.3 class, with 3 + 2 * 3 rows."""
    ratios = (student.sources / (student.mixture + 1e-10)).clamp(0, 5)
    main = mean(slow_distances(student.masks, ratios, student.mixture))
    kept = slow_distances(student.masks, teacher.masks, student.mixture)
    distill = mean([distance for number, distance in enumerate(kept) if batch.from_memory[number]])
    rows, sources = slow_rows(batch, student, teacher)
    assert len(rows) == 3 + 2 * 3
    instance = slow_contrast(rows, batch.videos[sources].tolist())
    of_class = slow_contrast(rows, batch.classes[sources].tolist())
    found = terms(batch, student, teacher)
    parts = {"masks": main, "distill": 0.3 * distill, "instance": 0.1 * instance, "class": 0.3 * of_class}
    torch.testing.assert_close(found, parts)
    total = torch.stack(list(found.values())).sum()
    assert_same(total, main + 0.3 * distill + 0.1 * instance + 0.3 * of_class, student)


def test_at_stage_0_contrast_is_learned_if_asked_and_nothing_is_distilled(batch: Batch, student: Outputs) -> None:
    rows, sources = slow_rows(batch, student, None)
    found = terms(batch, student, None)
    assert list(found) == ["masks", "instance", "class"]
    torch.testing.assert_close(found["instance"], 0.1 * slow_contrast(rows, batch.videos[sources].tolist()))
    alone = terms(batch, student, None, at_stage0=False)
    torch.testing.assert_close(alone, separation_loss(batch, student))


def test_without_rehearsed_sources_nothing_is_distilled(batch: Batch, student: Outputs, teacher: Outputs) -> None:
    fresh = replace(batch, from_memory=NEVER, memory_weight=NEVER.double())
    found = terms(fresh, student, teacher)
    assert found["distill"] == 0
    torch.testing.assert_close(found["class"], terms(batch, student, None)["class"])


def test_without_motion_sound_and_object_are_the_only_pair(batch: Batch, student: Outputs, teacher: Outputs) -> None:
    still = [replace(outputs, motion=None) for outputs in (student, teacher)]
    rows, sources = slow_rows(batch, still[0], still[1])
    assert list(rows[0]) == ["audio", "object"]
    found = terms(batch, still[0], still[1], temperature=0.5)
    torch.testing.assert_close(found["class"], 0.3 * slow_contrast(rows, batch.classes[sources].tolist(), 0.5))


def test_weights_and_gathering_are_the_config_s(batch: Batch, student: Outputs, teacher: Outputs) -> None:
    once = terms(batch, student, teacher, gather=True)
    torch.testing.assert_close(once, terms(batch, student, teacher))
    twice = terms(batch, student, teacher, distill=0.6, instance=0.2, of_class=0.6)
    for name in ("distill", "instance", "class"):
        torch.testing.assert_close(twice[name], 2 * once[name])
