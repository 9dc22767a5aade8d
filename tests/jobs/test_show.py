import io
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from cavs_dist.cluster import record
from cavs_dist.cluster.record import Job
from cavs_dist.errors import InputError
from cavs_dist.jobs.show import clock, print_jobs

MakeRun = Callable[..., Path]
LINES = [
    {"update": 5, "stage": 0, "phase": "main", "loss": 1.25, "seconds": 1.0},
    {"update": 10, "stage": 0, "phase": "main", "loss": 1.125, "seconds": 6.0},
]


@pytest.fixture(autouse=True)
def no_slurm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")


def table(*folders: Path) -> str:
    console = Console(width=250, file=io.StringIO())
    print_jobs(folders, console, as_json=False)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def objects(*folders: Path) -> list[dict[str, Any]]:
    console = Console(width=20, file=io.StringIO())
    print_jobs(folders, console, as_json=True)
    return json.loads(console.file.getvalue())  # type: ignore[attr-defined, no-any-return]


def test_a_row_says_how_far_a_run_is(make_run: MakeRun, tmp_path: Path) -> None:
    make_run(lines=LINES)
    row = next(line for line in table(tmp_path).splitlines() if "running" in line)
    for cell in ("process 7 on nowhere", "0 of 0-1", "10/20 main", "0:00:50", "loss 1.125"):
        assert f" {cell} " in row


def test_the_same_as_json(make_run: MakeRun, tmp_path: Path) -> None:
    folder = make_run(lines=LINES)
    (found,) = objects(tmp_path)
    assert found["folder"] == str(folder) and found["state"] == "running" and found["seconds"] == 50.0
    assert (found["stage"], found["stages"], found["update"], found["updates"]) == (0, 2, 10, 20)
    assert found["jobs"] == [] and found["method"] == "cmr"


def test_jobs_of_a_chain_have_rows_of_their_own(make_run: MakeRun, tmp_path: Path) -> None:
    folder = make_run(lines=LINES)
    record.add_submitted(folder, Job("11", until=0))
    record.add_submitted(folder, Job("12", until=1, after="11"))
    text = table(tmp_path)
    assert "- job 11" in text and "to 1" in text and "after 11" in text
    assert "SLURM's own word is missing: there is no SLURM here" in " ".join(text.split())


def test_hostile_texts_stay_texts(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("[red]a\x1b[2Jb\n", lines=LINES, files={"stopped.txt": "[/] \x1b]0;title\x07", "lock": "[bold]\x9bx"})
    text = table(tmp_path)
    assert "\x1b" not in text and "\x07" not in text and "\x9b" not in text and "[red]a [2Jb" in text


def test_names_that_are_no_text_are_shown(make_run: MakeRun, tmp_path: Path) -> None:
    make_run(os.fsdecode(b"run-\xff"), lines=LINES)
    assert "run- " in table(tmp_path)
    assert objects(tmp_path)[0]["folder"].endswith("run-\udcff")


def test_where_there_is_nothing_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="runs is no folder"):
        table()
    with pytest.raises(InputError, match=f"there is no run in {tmp_path}"):
        table(tmp_path)


def test_a_run_is_shown_once(make_run: MakeRun, tmp_path: Path) -> None:
    folder = make_run(lines=LINES)
    assert len(objects(tmp_path, folder)) == 1


def test_200_runs_with_long_logs_take_seconds(make_run: MakeRun, tmp_path: Path) -> None:
    for number in range(200):
        folder = make_run(f"run-{number:03d}", lines=LINES, done={"0/main": 20}, judged=1)
        with (folder / "metrics.jsonl").open("r+b") as file:
            file.truncate(1 << 30)
            file.seek(0, os.SEEK_END)
            file.write(b"\n" + json.dumps(LINES[-1]).encode() + b"\n")
    start = time.monotonic()
    assert len(objects(tmp_path)) == 200
    assert time.monotonic() - start < 10


def test_clock() -> None:
    assert [clock(seconds) for seconds in (0.4, 3599.6, 86400 * 2 + 61)] == ["0:00:00", "1:00:00", "2 d 0:01:01"]
