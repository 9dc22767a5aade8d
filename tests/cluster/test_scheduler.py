"""What the commands say on a real cluster is in tests/slurm; here, programs of the same names that say it."""

import os
from pathlib import Path

import pytest

from cavs_dist.cluster import scheduler
from cavs_dist.errors import InputError


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of programs, the first that are found."""
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    return tmp_path


def write(folder: Path, name: str, body: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{body}\n")
    (folder / name).chmod(0o755)


def test_without_slurm_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(InputError, match=r"no SLURM here: sinfo is not among the programs"):
        scheduler.version()


def test_a_job_id_comes_with_or_without_a_cluster(programs: Path) -> None:
    write(programs, "sbatch", "grep -q '^#!/bin/sh' && echo '12;main'")
    assert scheduler.submit("#!/bin/sh\n") == "12"
    write(programs, "sbatch", "echo 'Submitted batch job'")
    with pytest.raises(InputError, match="expected the id of a job"):
        scheduler.submit("#!/bin/sh\n")


def test_a_refusal_is_passed_on_in_one_line(programs: Path) -> None:
    write(programs, "sbatch", "echo 'sbatch: error: invalid partition' >&2; echo 'sbatch: sorry' >&2; exit 1")
    with pytest.raises(InputError, match=r"sbatch failed with 1 and said: .*invalid partition sbatch: sorry"):
        scheduler.submit("#!/bin/sh\n")
    with pytest.raises(InputError, match="does not take the job: error: invalid partition sorry; see"):
        scheduler.test("#!/bin/sh\n")


def test_a_command_that_hangs_is_given_up(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(programs, "scontrol", "exec sleep 60")
    monkeypatch.setattr(scheduler, "SECONDS", 0.2)
    with pytest.raises(InputError, match="scontrol has not answered"):
        scheduler.requeue("1")


def test_a_name_does_not_shift_the_fields(programs: Path) -> None:
    write(programs, "squeue", r"printf '%s\n' '7|RUNNING|4:00|0:10|node[1-2]|None|a|CANCELLED|b' 'odd line'")
    (job,) = scheduler.queued(["7"])
    assert (job.id, job.state, job.nodes, job.name) == ("7", "RUNNING", "node[1-2]", "a|CANCELLED|b")


def test_forgotten_jobs_are_none(programs: Path) -> None:
    write(programs, "squeue", "echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1")
    assert scheduler.queued(["7"]) == ()
    write(programs, "squeue", "echo 'Unable to contact slurm controller' >&2; exit 1")
    with pytest.raises(InputError, match="squeue failed with 1 and said: Unable to contact"):
        scheduler.queued(["7"])
