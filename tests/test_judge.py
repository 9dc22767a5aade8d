import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from cavs_dist.config import as_tree, load_run
from cavs_dist.judge import judge
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
