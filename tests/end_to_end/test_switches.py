"""What a config can switch, switched: each run next to the plain one that it has to equal, or to differ from."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from cavs_dist.config import load_run
from cavs_dist.errors import InputError
from cavs_dist.memory.rehearsal import by_old_class
from cavs_dist.run_folder import read_json, read_state
from cavs_dist.setting import open_setting
from cavs_dist.trainer import train

Go = Callable[..., Path]


@pytest.fixture
def go(tiny: str, shaken: Path, tmp_path: Path) -> Go:
    """Train `tiny` from `shaken` with overrides."""

    def go(*overrides: str) -> Path:
        train(load_run(tiny, [f"out={tmp_path}", f"train.start={shaken}", *overrides]))
        return tmp_path

    return go


def losses(folder: Path) -> list[float]:
    read = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [line["loss"] for line in read if "loss" in line]


@pytest.mark.parametrize("override", ["engine.zero=0", "engine.zero=2", "engine.micro_batch=2", "data.workers=2"])
def test_how_it_is_computed_changes_rounding_alone(go: Go, finished: Path, override: str) -> None:
    found, known = losses(go(override)), losses(finished)
    # Differences grow from update to update; the first, 6 of the twin and 2 of the model, show that it is rounding.
    assert found[:8] == pytest.approx(known[:8], rel=1e-4)
    assert len(found) == len(known)


def test_bf16_is_near_and_keeps_whole_weights(go: Go, finished: Path) -> None:
    folder = go("engine.precision=bf16")
    half, whole = losses(folder), losses(finished)
    assert half != whole and all(math.isfinite(loss) for loss in half)
    assert half[:3] == pytest.approx(whole[:3], rel=0.02)
    weights = load_file(folder / "stages/1/main.safetensors")
    assert {value.dtype for value in weights.values()} == {torch.float32}


def test_concat_rehearses_every_exemplar_and_every_collision(go: Go) -> None:
    folder = go("rehearse.mode=concat")
    extra = by_old_class(read_state(folder / "stages/1/begin.pt")["pairs"])
    memory = read_json(folder / "stages/0/memory.json")["classes"]
    setting = open_setting(load_run(str(folder / "config.yaml")))
    clips = len(setting.clips_of(setting.stages[1]).clips)
    rehearsed = sum(len(kept) + extra.get(name, 0) for name, kept in memory.items())
    assert sum(extra.values()) > 0
    assert read_json(folder / "stages/1/main.json")["updates"] == 2 * ((clips + rehearsed) // 4)


def test_silence_scores_without_a_twin(go: Go, finished: Path) -> None:
    folder = go("memory.unimodal=silence")
    silent, twin = (read_json(run / "stages/0/memory.json")["classes"] for run in (folder, finished))
    assert not (folder / "stages/0/twin.safetensors").exists()
    assert {name: len(kept) for name, kept in silent.items()} == {"bell": 2, "cow": 2}
    assert silent != twin and any(score != 0 for kept in silent.values() for _, score, _ in kept)


def test_memory_after_the_last_stage_where_it_is_asked_for(go: Go) -> None:
    folder = go("memory.last=true", "memory.per_class=1")
    memory = read_json(folder / "stages/1/memory.json")["classes"]
    assert {name: len(kept) for name, kept in memory.items()} == dict.fromkeys(("bell", "cow", "train", "violin"), 1)
    assert (folder / "stages/1/twin.safetensors").exists()


def test_the_other_readings_of_cmr(go: Go, finished: Path) -> None:
    switches = ["pseudo=all", "memory_labels=pseudo", "matching=0.5", "align=true", "adaptive=true", "schedule=true"]
    folder = go(*(f"method.{switch}" for switch in switches))
    assert all(math.isfinite(loss) for loss in losses(folder)) and losses(folder)[10:] != losses(finished)[10:]
    heads = [load_file(folder / "stages/1/main.safetensors")[f"heads.heads.{stage}.weight"] for stage in (0, 1)]
    lengths = [rows.norm(dim=1).mean().item() for rows in (heads[0][1:], heads[1])]
    assert lengths[0] == pytest.approx(lengths[1], rel=1e-5)


@pytest.mark.parametrize("rule", ["herding", "reservoir"])
def test_the_rules_without_two_models(go: Go, rule: str) -> None:
    folder = go(f"memory.select={rule}")
    classes = read_json(folder / "stages/0/memory.json")["classes"]
    assert {name: len(kept) for name, kept in classes.items()} == {"bell": 2, "cow": 2}
    scores = [[score for _, score, _ in kept] for kept in classes.values()]
    assert all(0 < kept[0] <= kept[1] for kept in scores) and all(kept[1] < 1 for kept in scores) == (rule != "herding")
    assert not (folder / "stages/0/twin.safetensors").exists()


def test_the_score_of_a_twin_that_hears(go: Go, finished: Path) -> None:
    folder = go("memory.multimodal=twin")
    hearing, seeing = (load_file(folder / f"stages/0/{role}.safetensors") for role in ("hearing_twin", "twin"))
    assert len(hearing) > len(seeing)
    memories = [read_json(run / "stages/0/memory.json")["classes"] for run in (folder, finished)]
    assert memories[0] != memories[1]


def test_collisions_counted_while_training_weigh_the_draws(go: Go) -> None:
    folder = go("rehearse.count=online", "rehearse.every=2", "rehearse.lag=4", "data.workers=1", "method.name=replay")
    assert read_state(folder / "stages/1/begin.pt")["pairs"] == {}
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    main = [line for line in lines if line.get("phase") == "main"]
    told = [{key: value for key, value in line.items() if key.startswith("rehearse/N/")} for line in main]
    assert not any(sum(counts.values()) for counts in told[:6]) and sum(told[-1].values()) > 0
    for line in main:
        assert line["rehearse/weight/bell"] == 2 + line["rehearse/N/bell"]
    assert any(key.startswith("collisions/") for key in main[-1])


def test_a_budget_for_all_classes_shrinks_with_every_stage(go: Go) -> None:
    folder = go("memory.total=6", "memory.last=true", "memory.select=random")
    for stage, share in enumerate(({"bell": 3, "cow": 3}, {"bell": 2, "cow": 2, "train": 1, "violin": 1})):
        memory = read_json(folder / f"stages/{stage}/memory.json")["classes"]
        assert {name: len(kept) for name, kept in memory.items()} == share
    before = read_json(folder / "stages/0/memory.json")["classes"]
    assert all(memory[name] == before[name][:2] for name in before)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [(["rehearse.mode=concat"], "needs rehearse.mode=ratio"), (["data.workers=5"], "draw exemplars 20 updates ahead")],
)
def test_counting_online_is_refused_where_it_cannot_be(tiny: str, overrides: list[str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        open_setting(load_run(tiny, ["rehearse.count=online", *overrides]))
