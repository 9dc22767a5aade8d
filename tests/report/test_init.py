import json
from collections.abc import Callable
from pathlib import Path

import pytest

from cavs_dist.errors import InputError
from cavs_dist.report import write_report

MakeRun = Callable[..., Path]


def test_a_report_is_a_page_and_a_summary(make_run: MakeRun, tmp_path: Path) -> None:
    out = tmp_path / "new" / "out"
    table = write_report([make_run("a"), make_run("b", method="fine_tune")], out, 60.0)
    summary = json.loads((out / "summary.json").read_text())
    assert list(summary) == ["cmr", "fine_tune", "seconds"]
    assert table.row_count == 4
    assert {"all", "old", "old_fg", "new", "harmonic", "forgetting", "stages"} <= summary["cmr"].keys()
    assert (out / "report.html").read_text().startswith("<!doctype html>")


def test_nothing_is_written_about_a_folder_that_no_run_wrote(make_run: MakeRun, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no run folder"):
        write_report([make_run("a"), tmp_path], tmp_path / "out", None)
    assert not (tmp_path / "out").exists()


def test_runs_of_different_tasks_have_no_report_together(make_run: MakeRun, tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "config.yaml").write_text("task: {name: separation}\nmethod: {name: lwf}\n")
    with pytest.raises(InputError, match="make a report of each task's runs"):
        write_report([make_run("a"), tmp_path / "b"], tmp_path / "out", None)
    assert not (tmp_path / "out").exists()
    assert write_report([tmp_path / "b"], tmp_path / "out", None).row_count == 1
    assert "sound separation" in (tmp_path / "out" / "report.html").read_text()
