import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cavs_dist.cluster import job
from cavs_dist.cluster.job import Place, end, shown, start, verdict
from cavs_dist.cluster.record import add_end, logs_of, read_jobs
from cavs_dist.errors import InputError
from cavs_dist.last_word import LastWord

JOB = {"SLURM_JOB_ID": "12", "SLURM_JOB_NODELIST": "node[1-2]"}


@pytest.fixture
def requeued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file in which scontrol notes what it is asked for, while squeue says that the first start runs; no waits."""
    programs, asked = tmp_path / "programs", tmp_path / "asked"
    programs.mkdir()
    for name, body in (("scontrol", f'echo "$@" >>"{asked}"'), ("squeue", f'cat "{tmp_path}/restarts"')):
        (programs / name).write_text(f"#!/bin/sh\n{body}\n")
        (programs / name).chmod(0o755)
    (tmp_path / "restarts").write_text("0\n")
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(job, "SECONDS_FOR_A_REQUEUE", 0.0)
    return asked


def test_a_job_finds_itself_in_slurms_variables() -> None:
    assert Place.of(JOB) == Place("12", 0, "node[1-2]")
    array = {**JOB, "SLURM_ARRAY_JOB_ID": "9", "SLURM_ARRAY_TASK_ID": "3", "SLURM_RESTART_COUNT": "2"}
    assert Place.of(array) == Place("9_3", 2, "node[1-2]")


@pytest.mark.parametrize("variables", [{}, {"SLURM_JOB_ID": "../x"}, {**JOB, "SLURM_RESTART_COUNT": "-1"}])
def test_elsewhere_it_is_said(tmp_path: Path, variables: dict[str, str]) -> None:
    with pytest.raises(InputError, match=r"called by slurm/train\.sbatch, within a job"):
        start(tmp_path, variables)


def test_a_start_is_noted_with_its_environment(tmp_path: Path) -> None:
    logs = start(tmp_path, {**JOB, "NCCL_DEBUG": "INFO", "SLURM_JWT": "secret", "WANDB_API_KEY": "secret"})
    assert logs == logs_of(tmp_path.resolve(), "12", 0)
    assert json.loads((logs / "environment.json").read_text()) == {**JOB, "NCCL_DEBUG": "INFO"}
    assert read_jobs(tmp_path)[0].starts[0].nodes == "node[1-2]"


def test_no_secret_is_shown() -> None:
    secrets = {"SLURM_JWT": "", "CUDA_TOKEN": "", "HF_TOKEN": "", "AWS_SECRET_ACCESS_KEY": "", "HOME": "", "PATH": ""}
    assert shown({**secrets, "OMP_NUM_THREADS": "1"}) == {"OMP_NUM_THREADS": "1"}


def test_a_start_waits_for_ranks_that_still_hold_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = tmp_path / "lock"
    lock.write_text("process 3 on node1")
    hold = "import fcntl, sys, time; f = open(sys.argv[1], 'r+'); fcntl.lockf(f, fcntl.LOCK_EX); print(flush=True); "
    with subprocess.Popen([sys.executable, "-c", hold + "time.sleep(60)", lock], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None and holder.stdout.readline()
        monkeypatch.setattr(job, "SECONDS_FOR_A_LOCK", 0.5)
        with pytest.raises(InputError, match="is in use by process 3 on node1: end it"):
            start(tmp_path, JOB)
        ended = read_jobs(tmp_path)[0].starts[0].end
        assert ended is not None and ended.ending == "refused"
        holder.kill()
    monkeypatch.setattr(job, "SECONDS_FOR_A_LOCK", 30)
    start(tmp_path, {**JOB, "SLURM_RESTART_COUNT": "1"})
    with lock.open("r+") as file:  # what was looked at is free again
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


STOPPED, REFUSED, CRASHED = LastWord(1, 75, "stopped by"), LastWord(3, 2, "disk full"), LastWord(2, 1, "rank 3 died")


@pytest.mark.parametrize(
    ("code", "signalled", "words", "expected"),
    [
        (0, False, [], ("finished", "all that was asked is done")),
        (0, True, [], ("finished", "all that was asked is done")),
        (1, False, [STOPPED], ("stopped", "stopped by")),
        (1, True, [STOPPED, CRASHED], ("stopped", "stopped by")),
        (1, False, [STOPPED, CRASHED], ("crashed", "rank 3 died")),
        (1, True, [CRASHED, REFUSED], ("refused", "disk full")),
        (1, False, [CRASHED], ("crashed", "rank 3 died")),
        (137, False, [], ("crashed", "srun ended with 137 and no rank said why: see the job's log")),
    ],
)
def test_how_a_start_ended(code: int, signalled: bool, words: list[LastWord], expected: tuple[str, str]) -> None:
    assert verdict(code, signalled, words) == expected
    ending, reason = verdict(143, True, [])
    assert ending == "stopped" and "SLURM asked the job to stop" in reason


@pytest.mark.parametrize(
    ("code", "signalled", "sentence", "exit_code", "goes_on"),
    [
        (0, False, None, 0, False),
        (1, True, None, 75, True),
        (1, False, (75, "x"), 75, True),
        (1, False, (2, "x"), 2, 0),
    ],
)
def test_a_job_goes_on_only_after_a_stop(
    tmp_path: Path, requeued: Path, code: int, signalled: bool, sentence: tuple[int, str], exit_code: int, goes_on: bool
) -> None:
    logs = start(tmp_path, JOB)
    if sentence:
        word = {"time": 1, "code": sentence[0], "message": sentence[1]}
        (logs / "error.json").write_text(json.dumps(word))
    assert end(tmp_path, JOB, code, signalled, max_restarts=3) == exit_code
    assert (requeued.read_text() if requeued.exists() else "") == ("requeue 12\n" if goes_on else "")
    ended = read_jobs(tmp_path)[0].starts[0].end
    assert ended is not None and ended.code == exit_code


def test_a_crash_goes_on_so_often_and_no_more(tmp_path: Path, requeued: Path) -> None:
    for restart, crashes in enumerate((1, 2, 3)):
        environment = {**JOB, "SLURM_RESTART_COUNT": str(restart)}
        (tmp_path / "restarts").write_text(f"{restart}  \n")
        start(tmp_path, environment)
        assert end(tmp_path, environment, 1, signalled=False, max_restarts=2) == 1
        assert len(requeued.read_text().splitlines()) == min(crashes, 2)
    add_end(tmp_path, "12", 9, "crashed", 1, "of a start that was never noted")
    assert read_jobs(tmp_path)[0].crashes == 3


@pytest.mark.parametrize("runs", ["1", ""], ids=["the next start", "none, as it is being cancelled"])
def test_a_start_that_slurm_has_given_up_ends_no_other(tmp_path: Path, requeued: Path, runs: str) -> None:
    start(tmp_path, JOB)
    (tmp_path / "restarts").write_text(f"{runs}\n")
    assert end(tmp_path, JOB, 1, signalled=True, max_restarts=3) == 75
    assert not requeued.exists()
