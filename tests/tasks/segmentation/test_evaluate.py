import json
from collections.abc import Iterator

import pytest
import torch
from torch import nn

from cavs_dist.curriculum import Stage
from cavs_dist.metrics.continual import summarise
from cavs_dist.outputs.segmentation import Batch, Outputs
from cavs_dist.tasks.segmentation.evaluate import Counts, count, record, stage_scores, validation_score

STAGE = Stage(1, ("bird",), ("dog", "drum", "bird"))
CPU = torch.device("cpu")


class Says(nn.Module):
    """Predicts what the batch's frames spell out."""

    def forward(self, batch: Batch) -> Outputs:
        features = nn.functional.one_hot(batch.frames, 4).float().permute(0, 3, 1, 2)
        return Outputs((), features, features, torch.eye(4), torch.zeros(4))


def make_batches(size: int) -> Iterator[Batch]:
    """Seven clips of two frames, in batches of `size`; class drum is neither there nor predicted."""
    generator = torch.Generator().manual_seed(0)
    frames, labels = torch.randint(3, (2, 14, 6, 5), generator=generator)
    frames, labels = (torch.where(values == 2, 3, values) for values in (frames, labels))
    labels[torch.rand(labels.shape, generator=generator) < 0.3] = 255
    labels[-1] = 255
    for start in range(0, 7, size):
        part, clips = slice(2 * start, 2 * (start + size)), range(start, min(start + size, 7))
        keys = tuple(f"clip{number}" for number in clips)
        nothing, present = torch.zeros(len(keys)), torch.ones(len(keys), 2, dtype=torch.bool)
        yield Batch(keys, nothing, frames[part], nothing, labels[part], present, present, nothing, nothing)


def judged(size: int) -> dict:
    return record(count(Says(), make_batches(size), STAGE, CPU), STAGE)


def test_counts_are_pixels_and_frames() -> None:
    [batch] = make_batches(7)
    found = judged(7)
    for truth in range(4):
        for said in range(4):
            pixels = ((batch.labels == truth) & (batch.frames == said)).sum().item()
            assert found["confusion"][truth][said] == pixels
    assert found["clips"] == 7 and found["iou"][2] is None and found["fscore"][2] is None
    hits = found["confusion"][1][1]
    union = sum(found["confusion"][1]) + sum(row[1] for row in found["confusion"]) - hits
    assert found["iou"][1] == pytest.approx(hits / union)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_batches_change_nothing(size: int) -> None:
    found, expected = judged(size), judged(7)
    assert found.keys() == expected.keys()
    for name in ("iou", "avsbench_iou", "fscore"):
        assert found[name] == pytest.approx(expected[name], abs=1e-12)
    assert found["confusion"] == expected["confusion"] and found["clips"] == expected["clips"]


def test_a_rank_without_clips_counts_nothing() -> None:
    found = count(Says(), [], STAGE, CPU)
    assert all(not values.any() for values in vars(found).values())
    assert record(found, STAGE)["iou"] == (None,) * 4


def test_counts_add_up() -> None:
    one, two = Counts.zeros(4, CPU), Counts.zeros(4, CPU)
    for place, batch in enumerate(make_batches(3)):
        (one if place else two).add(batch.frames, batch)
    whole = count(Says(), make_batches(7), STAGE, CPU)
    for name, value in vars(whole).items():
        torch.testing.assert_close(getattr(one, name) + getattr(two, name), value)


def test_records_survive_json() -> None:
    there = judged(2)
    [scores] = stage_scores([json.loads(json.dumps(there))])
    assert scores.classes == ("background", *STAGE.seen) and scores.new == STAGE.new
    assert scores.iou == tuple(there["iou"])
    assert summarise([scores], "skip")["all"] == pytest.approx(sum(v for v in there["iou"] if v is not None) / 3)


def test_the_validation_score_is_the_mean_over_new_classes() -> None:
    record = {"classes": ["background", "a", "b", "c"], "new": ["b", "c"], "iou": [0.9, 0.8, 0.2, 0.4]}
    assert validation_score(record) == pytest.approx(0.3)
    assert validation_score(record | {"iou": [0.9, 0.8, None, 0.4]}) == pytest.approx(0.4)
    assert validation_score(record | {"iou": [0.9, 0.8, None, None]}) == 0.0
