import sys
from pathlib import Path

import pytest

from cavs_dist.cli import main
from cavs_dist.cluster.record import read_jobs


def call(monkeypatch: pytest.MonkeyPatch, *args: str | Path) -> int:
    monkeypatch.setattr(sys, "argv", ["cavs-dist", "job", *map(str, args)])
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0)


def test_a_job_notes_its_start_and_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    assert call(monkeypatch, "start", tmp_path) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'slurm/12.0'}\n"
    assert call(monkeypatch, "end", tmp_path, "--code", 0, "--max-restarts", 3) == 0
    ended = read_jobs(tmp_path)[0].starts[0].end
    assert ended is not None and ended.ending == "finished"


def test_the_folder_of_a_run_is_told(
    tiny: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "folder", tiny, "out=it's here") == 0
    assert capsys.readouterr().out == "it's here\n"


def test_outside_of_a_job_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    assert call(monkeypatch, "start", tmp_path) == 2
    assert "within a job" in capsys.readouterr().err
