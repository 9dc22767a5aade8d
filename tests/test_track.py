import json
import math
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest

from cavs_dist import distributed
from cavs_dist.errors import InputError
from cavs_dist.track import Track, TrackConfig

OFF, OFFLINE = TrackConfig(), TrackConfig(wandb="offline")


def lines(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def write(folder: Path, updates: range, resume_update: int | None, config: TrackConfig = OFF) -> None:
    track = Track(folder, config, {"seed": 7}, resume_update=resume_update)
    for update in updates:
        track.scalars({"update": update, "phase": "main", "loss": 1 / update})
    track.close()


def records(path: Path) -> bytes:
    """Undo the file's framing: after 7 bytes, 32 KiB blocks of (checksum 4, length 2, kind 1, payload)."""
    data, place, payload = path.read_bytes(), 7, b""
    while place + 7 <= len(data):
        left = 32768 - place % 32768
        if left < 7:
            place += left
            continue
        length = int.from_bytes(data[place + 4 : place + 6], "little")
        payload += data[place + 7 : place + 7 + length]
        place += 7 + length
    return payload


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


def test_offline_wandb_holds_scalars_masks_and_table_under_one_id(tmp_path: Path) -> None:
    write(tmp_path, range(1, 4), None, OFFLINE)
    track = Track(tmp_path, OFFLINE, {"seed": 7}, resume_update=3)
    label = np.ones((1, 3, 4, 4), np.uint8)
    track.masks("examples", np.zeros((1, 3, 4, 4, 3), np.uint8), label, label, ("background", "dog"))
    track.table("stages", ("class", "stage 0"), [("dog", 0.5), ("cat", None)])
    track.close()
    first, second = sorted(tmp_path.glob("wandb/offline-run-*/*.wandb"), key=lambda path: path.stat().st_mtime_ns)
    name = json.loads((tmp_path / "wandb.json").read_text())["id"]
    assert first.name == second.name == f"run-{name}.wandb"
    assert b"main/loss" in records(first)
    assert b"seed" in records(first)
    assert str(1 / 3).encode() in records(first)
    assert b"table-file" in records(second)
    assert b'"1":"dog"' in records(second)
    assert sys.argv[0].encode() not in records(first)


def test_a_failure_of_wandb_is_said_once_and_the_file_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "wandb.json").write_text("{}")
    write(tmp_path, range(1, 4), None, OFFLINE)
    assert [line["update"] for line in lines(tmp_path)] == [1, 2, 3]
    assert capsys.readouterr().err.count("W&B failed") == 1


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
