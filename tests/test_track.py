import json
import math
import shlex
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest

from cavs_dist import distributed
from cavs_dist.errors import InputError, Interrupted
from cavs_dist.track import Track, TrackConfig
from tests.offline_run import read_offline

OFF, OFFLINE = TrackConfig(), TrackConfig(wandb="offline", group="study")


def lines(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def write(folder: Path, updates: range, resume_update: int | None, config: TrackConfig = OFF) -> None:
    track = Track(folder, config, {"seed": 7}, resume_update=resume_update)
    for update in updates:
        track.scalars({"update": update, "phase": "main", "loss": 1 / update})
    track.close()


def test_a_line_is_in_the_file_at_once_and_is_json_even_when_the_loss_is_not_finite(tmp_path: Path) -> None:
    track = Track(tmp_path, OFF, {}, resume_update=None)
    track.scalars({"update": 1, "loss": math.nan, "lr": math.inf, "phase": "main", "wait": 0.5})
    assert lines(tmp_path) == [{"update": 1, "loss": None, "lr": None, "phase": "main", "wait": 0.5}]
    assert "NaN" not in (tmp_path / "metrics.jsonl").read_text()
    track.close()


def test_a_full_disk_is_named(room_for: Callable[[int], AbstractContextManager[None]], tmp_path: Path) -> None:
    track = Track(tmp_path, OFF, {}, resume_update=None)
    with room_for(10), pytest.raises(InputError, match=r"metrics\.jsonl cannot be written: .*; free some space"):
        track.scalars({"update": 1, "loss": 0.5})


def test_other_ranks_write_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "rank", lambda: 1)
    write(tmp_path, range(1, 3), None, OFFLINE)
    assert list(tmp_path.iterdir()) == []


def test_every_start_of_a_folder_goes_on_with_one_wandb_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = {"seed": 7, "task": {"name": "segmentation"}, "method": {"name": "cmr"}, "out": str(tmp_path / "run")}
    with pytest.raises(Interrupted), Track(tmp_path, OFFLINE, config, resume_update=None) as track:
        track.scalars({"update": 1, "stage": 0, "phase": "main", "loss": 1.0, "nan": math.nan})
        track.scalars({"event": "begin", "update": 1, "stage": 1, "rehearse/N/dog": 3})
        raise Interrupted("stopped")
    with pytest.raises(RuntimeError), Track(tmp_path, OFFLINE, config, resume_update=1) as track:
        track.scalars({"update": 2, "stage": 1, "phase": "main", "loss": 0.5})
        raise RuntimeError("crashed")
    with Track(tmp_path, OFFLINE, config, resume_update=1) as track:
        label = np.ones((1, 3, 4, 4), np.uint8)
        track.masks("examples", np.zeros((1, 3, 4, 4, 3), np.uint8), label, 1 - label, ("background", "dog"))
        track.table("stages", ("class", "stage 0"), [("dog", 0.5), ("cat", None)])
    runs = read_offline(tmp_path)
    assert {run.run.run_id for run in runs} == {json.loads((tmp_path / "wandb.json").read_text())["id"]}
    assert [(run.exit_code, run.preempting) for run in runs] == [(75, True), (1, False), (0, False)]
    first, second, third = runs
    assert first.config["out"] == "run" and list(first.run.tags) == ["segmentation", "cmr"]
    assert (first.run.display_name, first.run.job_type, first.run.run_group) == (tmp_path.name, "train", "study")
    assert first.scalars("stage") == {1: 0} and first.scalars("rehearse/N/dog") == {1: 3}
    assert second.scalars("main/loss") == {2: 0.5} and second.scalars("stage") == {2: 1}
    assert third.table("stages")["data"] == [["dog", 0.5], ["cat", None]]
    assert third.last("examples")["captions"] == ["clip 0"]
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("W&B: send this run with: ")]
    assert shlex.split(told[-1].partition("with: ")[2]) == ["wandb", "sync", *(str(run.folder) for run in runs)]


@pytest.mark.parametrize("spoilt", ["{}", "not JSON", '{"id": "../elsewhere"}', '{"id": ["a"]}'])
def test_a_spoilt_id_becomes_a_new_one(spoilt: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "wandb.json").write_text(spoilt)
    Track(tmp_path, OFFLINE, {}, resume_update=None).close()
    assert "wandb.json holds no W&B run id" in capsys.readouterr().err
    [run] = read_offline(tmp_path)
    assert json.loads((tmp_path / "wandb.json").read_text())["id"] == run.run.run_id


def test_an_event_told_before_a_crash_is_not_told_again(tmp_path: Path) -> None:
    event = {"event": "evaluation", "update": 5, "stage": 0, "test/all": 0.5}
    for resume in (None, 5):
        track = Track(tmp_path, TrackConfig(), {}, resume_update=resume)
        if resume is None:
            track.scalars({"update": 5, "loss": 1.0})
        track.scalars(event)
        track.close()
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line).get("event") for line in lines] == [None, "evaluation"]
