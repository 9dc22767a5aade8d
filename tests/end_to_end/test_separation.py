"""Separation from the first update to the last record: every method, what a run leaves behind, and what is refused."""

import json
import math
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from cavs_dist.cli import main
from cavs_dist.config import load_run
from cavs_dist.data.clip import Encoded
from cavs_dist.data.shard import ClipEntry, ShardReader, read_split
from cavs_dist.data.stream import training_updates
from cavs_dist.data.write import write_shards
from cavs_dist.errors import InputError
from cavs_dist.fit import Fit
from cavs_dist.methods import METHODS
from cavs_dist.run_folder import read_json, read_state
from cavs_dist.setting import Setting, open_setting
from cavs_dist.trainer import Trainer, train
from tests.products import products

NOTHING = ["memory.select=none"]
CONTRAST = {"masks", "instance", "class"}
# What each is run with beside its name, and the terms of its loss in stage 1.
RUNS: dict[str, tuple[list[str], set[str]]] = {
    "fine_tune": (NOTHING, {"masks"}),
    "joint": (NOTHING, {"masks"}),
    "replay": ([], {"masks"}),
    "ewc": (NOTHING, {"masks", "hold"}),
    "ewf": (NOTHING, {"masks"}),
    "lwf": (NOTHING, {"masks", "distill"}),
    "plop": (["rehearse.mode=concat", "rehearse.repeat=2"], {"masks", "pod"}),
    "av_cil": ([], CONTRAST | {"distill", "attention"}),
    "contavsep": (["memory.select=herding"], CONTRAST | {"distill"}),
}


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def of_stage_1(folder: Path) -> list[dict[str, Any]]:
    return [line for line in lines(folder) if line.get("phase") == "main" and line["stage"] == 1]


def assert_learned(folder: Path, terms: set[str]) -> None:
    """Stage 1 has minimised the sum of these terms, and every class has been judged."""
    updates = of_stage_1(folder)
    assert len(updates) == read_json(folder / "stages/1/main.json")["updates"] > 0
    for line in updates:
        found = {key.removeprefix("loss/"): line[key] for key in line if key.startswith("loss/")}
        assert found.keys() == terms
        assert math.isfinite(line["loss"]) and line["loss"] == pytest.approx(sum(found.values()))
    record = read_json(folder / "stages/1/evaluation.json")
    for name in ("sdr", "sir", "sar", "floor", "ceiling"):
        assert len(record[name]) == 4 and all(math.isfinite(value) for value in record[name])
    assert record["metrics"]["forgetting"] is not None


def test_every_method_is_run() -> None:
    assert RUNS.keys() == METHODS["separation"].keys()


@pytest.mark.parametrize("method", RUNS)
def test_a_method_learns_a_second_stage(method: str, tiny_separation: str, separated: Path, tmp_path: Path) -> None:
    overrides, terms = RUNS[method]
    train(
        load_run(tiny_separation, [f"out={tmp_path}", f"train.start={separated}", f"method.name={method}", *overrides])
    )
    assert_learned(tmp_path, terms)
    memory = tmp_path / "stages/0/memory.json"
    assert memory.exists() == ("memory.select=none" not in overrides)
    assert not memory.exists() or {len(kept) for kept in read_json(memory)["classes"].values()} == {2}
    # What EWC and EWF hold on to are the weights that were kept.
    state, weights = (
        read_state(tmp_path / "stages/1/end.pt")["method"],
        load_file(tmp_path / "stages/1/main.safetensors"),
    )
    held = state.get("kept", {}) | state.get("old", {})
    assert bool(held) == (method in ("ewc", "ewf")) and all(weights[name].equal(value) for name, value in held.items())


@pytest.mark.parametrize("method", ["contavsep", "lwf"])
def test_the_other_separator_learns_both_stages(method: str, tiny_separation: str, tmp_path: Path) -> None:
    overrides, terms = RUNS[method]
    other = ["model.separator=co_separation", "train.epochs=1", f"method.name={method}"]
    train(load_run(tiny_separation, [f"out={tmp_path}", *other, *overrides]))
    assert_learned(tmp_path, terms)


def test_a_finished_run_has_all_its_records(separated: Path) -> None:
    for stage, (classes, mixtures) in enumerate(((["bell", "cow"], 1), (["bell", "cow", "train", "violin"], 6))):
        record = read_json(separated / f"stages/{stage}/evaluation.json")
        assert record["classes"] == classes and len(record["mixtures"]) == mixtures and record["left_out"] == 0
        means = {name: np.mean([one[name] for one in record["mixtures"]]) for name in ("sdr", "floor", "ceiling")}
        for name, mean in means.items():
            assert record["metrics"][name] == pytest.approx(mean)
        # Ratio masks of the true sources do better than no mask at all.
        assert means["ceiling"] > means["floor"] + 3
        assert record["metrics"]["gain"] == pytest.approx(means["sdr"] - means["floor"])
        with np.load(separated / f"stages/{stage}/examples.npz", allow_pickle=False) as shown:
            number = len(shown["keys"])
            assert 0 < number <= mixtures
            assert shown["truth"].shape == shown["estimates"].shape == (number, 2, 8191)
            assert shown["masks"].shape == shown["ratio_masks"].shape == (number, 2, 32, 32)
            assert shown["frames"].shape == (number, 2, 32, 32, 3)
    assert {line["event"] for line in lines(separated) if "event" in line} == {"begin", "evaluation"}
    assert not (separated / "stages/0/twin.safetensors").exists()


def resting(folder: Path, separated: Path) -> Setting:
    """The setting of a copy of the finished run, of which stage 1 is still to be learned."""
    shutil.copytree(separated, folder)
    for product in (folder / "stages/1").iterdir():
        product.unlink()
    return open_setting(load_run(str(folder / "config.yaml"), [f"out={folder}"]))


def test_the_teacher_is_frozen_while_the_model_moves(separated: Path, tmp_path: Path) -> None:
    setting = resting(tmp_path / "run", separated)
    stage, trainer = setting.stages[1], Trainer(setting, None)
    teacher = trainer.teacher(stage)
    assert teacher is not None
    model = setting.grown_model("main", stage, "random", restart=False)
    started, old = ({name: value.clone() for name, value in each.state_dict().items()} for each in (model, teacher))
    clips = setting.stage_clips(stage, setting.method, setting.memory_before(stage), {})
    arguments = (setting.run, stage, "main", setting.method, model, teacher, clips, None, trainer.checkpoints, 0)
    Fit(*arguments, lambda _: 0.0).train(trainer.track)
    assert not any(module.training for module in teacher.modules())
    assert all(parameter.grad is None for parameter in teacher.parameters())
    torch.testing.assert_close(dict(teacher.state_dict()), old, rtol=0, atol=0)
    moved = [name for name, value in model.state_dict().items() if not value.equal(started[name])]
    assert {"separator.queries.stages.0", "separator.queries.stages.1"} <= set(moved)
    assert any(name.endswith(".var") for name in moved)


def test_old_queries_stay_when_new_ones_come(separated: Path) -> None:
    setting = open_setting(load_run(str(separated / "config.yaml"), [f"out={separated}"]))
    kept = load_file(separated / "stages/0/main.safetensors")
    grown = setting.grown_model("main", setting.stages[1], "random", restart=False).state_dict()
    assert set(grown) - set(kept) == {"separator.queries.stages.1"}
    assert grown["separator.queries.stages.1"].shape == (2, 16)
    for name, value in kept.items():
        assert grown[name].equal(value), name
    untrained = setting.fresh_model("main", setting.stages[1]).state_dict()
    assert not kept["separator.queries.stages.0"].equal(untrained["separator.queries.stages.0"])


def last_met(setting: Setting) -> tuple[str, int]:
    """The clip of stage 1 that training meets last for the first time, and the update in which it does."""
    stage = setting.stages[1]
    clips = setting.stage_clips(stage, setting.method, setting.memory_before(stage), {})
    met: dict[str, int] = {}
    for update in training_updates(clips, 0, 2 * clips.plan.epoch_length, 0, 1, 4):
        for key, from_memory in zip(update.batches[0].keys, update.batches[0].from_memory.tolist(), strict=True):
            if not from_memory:
                met.setdefault(key, update.number)
    return max(met.items(), key=lambda one: one[1])


def test_a_run_that_was_cut_off_ends_where_the_whole_one_does(
    tiny_separation: str, scenes: Path, separated: Path, tmp_path: Path
) -> None:
    key, update = last_met(open_setting(load_run(str(separated / "config.yaml"), [f"out={separated}"])))
    assert update > 0
    harmed = shutil.copytree(scenes, tmp_path / "harmed")
    clip = next(clip for index in read_split(harmed, "train") for clip in index.clips if clip.key == key)
    content = bytearray(clip.shard.read_bytes())
    content[clip.members[f"source.{clip.meta.classes[0]}.flac"].offset] ^= 1
    clip.shard.write_bytes(content)
    out = tmp_path / "run"
    overrides = [f"out={out}", f"train.start={separated}", f"train.checkpoint_every={update}"]
    with pytest.raises(InputError, match="its checksum is wrong"):
        train(load_run(tiny_separation, [*overrides, f"data.path={harmed}"]))
    assert [path.name for path in (out / "checkpoints").iterdir()] == [f"001-main-{update:08d}"]
    train(load_run(tiny_separation, overrides))
    assert products(out, "end.pt") == products(separated, "end.pt")
    assert [line["loss"] for line in of_stage_1(out)] == [line["loss"] for line in of_stage_1(separated)]


def test_a_clip_of_old_and_new_classes_is_a_source_of_a_new_one(tiny_separation: str) -> None:
    setting = open_setting(load_run(tiny_separation, ["data.sources=any", *NOTHING]))
    stage = setting.stages[1]
    clips = setting.clips_of(stage).clips
    assert any(set(clip.meta.classes) & set(stage.old) for clip in clips)
    batches = list(setting.batches(clips, stage, "train", "reading"))
    assert {name for batch in batches for name in batch.classes.tolist()} == {2, 3}
    assert sorted(key for batch in batches for key in batch.keys[::2]) == sorted(clip.key for clip in clips)
    read = setting.stage_clips(stage, setting.method, setting.memory_before(stage), {})
    for update in training_updates(read, 0, read.plan.epoch_length, 0, 1, 4):
        pairs = update.batches[0].classes.view(-1, 2)
        assert pairs.min() >= 2 and (pairs[:, 0] != pairs[:, 1]).all()


def without_sources(folder: Path, scenes: Path) -> Path:
    """A copy of `scenes` whose clips are one waveform each."""

    def strip(clip: ClipEntry) -> Encoded:
        members = [name for name in clip.members if name != "json" and not name.startswith("source.")]
        return Encoded(clip.key, clip.meta, ShardReader().read(clip, members))

    for split in ("train", "test"):
        indexes = read_split(scenes, split)
        clips = [clip for index in indexes for clip in index.clips]
        write_shards(folder, split, clips, strip, indexes[0].names, quiet=True)
    return folder


@pytest.fixture
def refused(
    tiny_separation: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Any]:
    """Train with overrides, and return the one sentence that refuses them."""

    def refused(*overrides: str) -> str:
        command = ["cavs-dist", "train", tiny_separation, f"out={tmp_path / 'run'}", *overrides]
        monkeypatch.setattr(sys, "argv", command)
        with pytest.raises(SystemExit) as left:
            main()
        said = capsys.readouterr().err
        assert left.value.code == 2 and said.startswith("error: ") and said.count("\n") == 1, said
        assert not (tmp_path / "run").exists()
        return said

    return refused


def test_what_cannot_be_separated_is_refused_in_a_sentence(
    refused: Any, tiny_separation: str, scenes: Path, tmp_path: Path
) -> None:
    assert "task.name=separation labels none: set rehearse.weight=uniform" in refused("rehearse.weight=collision")
    assert "data.frames=1 shows no motion: set it to 2 or more" in refused("data.frames=1")
    mixed = without_sources(tmp_path / "mixed", scenes)
    said = refused(f"data.path={mixed}", "data.sources=any")
    assert "in one waveform and no source." in said and "set data.sources=single" in said
    single = load_run(tiny_separation, [f"data.path={mixed}", "data.sources=single"])
    assert all(len(clip.meta.classes) == 1 for clip in open_setting(single).train.clips)
