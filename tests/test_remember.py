from pathlib import Path

import pytest
import torch

from cavs_dist.config import load_run
from cavs_dist.data.shard import ShardReader
from cavs_dist.memory import payload
from cavs_dist.remember import wants_memory, wants_twin
from cavs_dist.run_folder import read_json
from cavs_dist.setting import Setting, open_setting
from cavs_dist.tasks.base import evaluating


@pytest.fixture(scope="module")
def setting(finished: Path) -> Setting:
    return open_setting(load_run(str(finished / "config.yaml")))


def iou(prediction: torch.Tensor, truth: torch.Tensor, label: int) -> float:
    """Of one frame; 0 where the class is in neither."""
    counted = truth != 255
    both = ((prediction == label) & (truth == label) & counted).sum().item()
    either = (((prediction == label) | (truth == label)) & counted).sum().item()
    return both / max(either, 1)


def slow_scores(setting: Setting) -> dict[str, float]:
    """Delta of every clip of stage 0, one clip, frame and class at a time."""
    stage = setting.stages[0]
    model, twin = (setting.kept_model(role, stage) for role in ("main", "twin"))
    scores = {}
    with evaluating(model), evaluating(twin):
        for clip in setting.clips_of(stage).clips:
            (batch,) = setting.batches([clip], stage, "train", "one")
            heard, seen = model(batch).prediction(), twin(batch).prediction()
            scores[clip.key] = sum(
                iou(heard[frame], batch.labels[frame], label) - iou(seen[frame], batch.labels[frame], label)
                for frame in range(len(batch.labels))
                for label in range(stage.num_labels)
            )
    return scores


def test_memory_keeps_the_clips_of_smallest_delta(setting: Setting) -> None:
    scores = slow_scores(setting)
    assert len({round(score, 6) for score in scores.values()}) > 1
    memory = setting.memory_before(setting.stages[1])
    for name in ("bell", "cow"):
        heard = [clip.key for clip in setting.clips_of(setting.stages[0]).clips if name in clip.meta.classes]
        best = sorted(heard, key=lambda key: (round(abs(scores[key]), 9), key))[:2]
        assert [exemplar.key for exemplar in memory.classes[name]] == best
        for exemplar in memory.classes[name]:
            assert exemplar.score == pytest.approx(scores[exemplar.key], abs=1e-9)


def test_exemplars_lie_in_the_run_folder_byte_for_byte(setting: Setting) -> None:
    memory = setting.memory_before(setting.stages[1])
    stored = payload.find(setting.folder.memory)
    assert sorted(key for _, key in stored) == memory.keys()
    source = {clip.key: clip for clip in setting.train.clips}
    for (_, key), clip in stored.items():
        members = [name for name in clip.members if name != "json"]
        assert ShardReader().read(clip, members) == ShardReader().read(source[key], members)
        assert clip.meta == source[key].meta


def test_the_record_is_the_memory(setting: Setting, finished: Path) -> None:
    record = read_json(finished / "stages/0/memory.json")
    assert setting.memory_before(setting.stages[1]).to_json() == {"classes": record["classes"]}
    assert not setting.memory_before(setting.stages[0]).classes


@pytest.mark.parametrize(
    ("overrides", "memory", "twin"),
    [
        ([], [True, False], [True, False]),
        (["memory.last=true"], [True, True], [True, True]),
        (["memory.unimodal=silence"], [True, False], [False, False]),
        (["memory.select=random"], [True, False], [False, False]),
        (["memory.select=largest"], [True, False], [True, False]),
        (["memory.select=none"], [False, False], [False, False]),
    ],
)
def test_what_a_stage_leaves_behind(tiny: str, overrides: list[str], memory: list[bool], twin: list[bool]) -> None:
    setting = open_setting(load_run(tiny, overrides))
    assert [wants_memory(setting, stage) for stage in setting.stages] == memory
    assert [wants_twin(setting, stage) for stage in setting.stages] == twin
