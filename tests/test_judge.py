import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cavs_dist.config import as_tree, load_run
from cavs_dist.curriculum import CurriculumConfig, make_stages
from cavs_dist.data.config import DataConfig
from cavs_dist.data.split import open_split
from cavs_dist.judge import example_clips, judge
from cavs_dist.run_folder import read_json
from cavs_dist.setting import open_setting
from cavs_dist.track import Track, TrackConfig


def test_judging_again_leaves_the_same_record(finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    run = shutil.copytree(finished, tmp_path / "run")
    for name in ("evaluation.json", "examples.npz"):
        (run / "stages/1" / name).unlink()
    setting = open_setting(load_run(str(run / "config.yaml"), [f"out={run}"]))
    (tmp_path / "log").mkdir()
    track = Track(tmp_path / "log", TrackConfig(), as_tree(setting.run), resume_update=None)
    judge(setting, setting.stages[1], setting.kept_model("main", setting.stages[1]), track, 99)
    track.close()
    there, here = (read_json(folder / "stages/1/evaluation.json") for folder in (finished, run))
    assert here == there and here["protocol"] == "overlapped"
    with np.load(run / "stages/1/examples.npz") as shown:
        assert set(shown["keys"]) <= {clip.key for clip in setting.test.clips}
        assert shown["truth"].shape == shown["prediction"].shape == shown["frames"].shape[:-1]
    [line] = (tmp_path / "log/metrics.jsonl").read_text().splitlines()
    told = json.loads(line)
    assert (told["event"], told["update"], told["stage"]) == ("evaluation", 99, 1)
    assert told["test/all"] == pytest.approx(here["metrics"]["all"])
    assert f"stage 1: all {here['metrics']['all']:.3f}" in capsys.readouterr().out


def test_every_class_is_shown_by_a_clip_of_its_own(scenes: Path) -> None:
    clips = open_split(DataConfig(path=str(scenes)), "test").clips
    stages = make_stages(("bell", "cow", "train", "violin"), CurriculumConfig(split="2-2"))
    for stage in stages:
        chosen = example_clips(clips, stage)
        assert len({clip.key for clip in chosen}) == len(chosen) == len(stage.seen)
        assert all(name in clip.meta.classes for name, clip in zip(stage.seen, chosen, strict=True))
    both, cow = (
        replace(clips[0], key=str(c), meta=replace(clips[0].meta, classes=c)) for c in (("cow", "bell"), ("cow",))
    )
    assert example_clips([both, cow], stages[0]) == [both, cow]
    [many] = make_stages([f"class{number}" for number in range(70)] + ["bell"], CurriculumConfig(split="71"))
    assert 1 <= len(example_clips(clips, many)) <= 6
