"""SLURM's commands: sbatch, squeue, scontrol and sinfo, with time limits; InputError where there is no SLURM."""

import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from cavs_dist.errors import InputError

SECONDS = 60.0  # that a command may take: a busy controller answers late
_FIELDS = ("%i", "%T", "%l", "%M", "%N", "%r", "%j")  # of squeue; what a user may write comes last


@dataclass(frozen=True)
class Queued:
    """A job that SLURM still knows. id: `123`, or `123_4` of an array.

    state: PENDING, RUNNING ... limit: of its time. used: of it, in this start. nodes: SLURM's list. reason: why it
    waits or ended. name: as the user gave it.
    """

    id: str
    state: str
    limit: str
    used: str
    nodes: str
    reason: str
    name: str


def version() -> str:
    """Return what SLURM calls itself, such as `slurm-wlm 22.05.8`."""
    return call("sinfo", "--version").strip()


def is_here() -> bool:
    """Tell whether there are SLURM's commands on this machine."""
    return shutil.which("sbatch") is not None


def test(script: str) -> str:
    """Ask the cluster whether it would take a script's text, without submitting it, and return what it says.

    Raises InputError where it would not.
    """
    done = _run("sbatch", "--test-only", text=script)
    said = " ".join((done.stdout + done.stderr).replace("sbatch: ", "").split())
    if done.returncode:
        raise InputError(f"the cluster does not take the job: {said}; see slurm.* in the config")
    return said


def submit(script: str, *options: str) -> str:
    """Submit a script's text and return its job's id."""
    done = _run("sbatch", "--parsable", *options, text=script)
    if done.returncode:
        raise InputError(_failed("sbatch", done))
    job = done.stdout.strip().partition(";")[0]  # then the name of the cluster
    if not re.fullmatch(r"\d+", job):
        raise InputError(f"sbatch answered {done.stdout!r}; expected the id of a job: is it there? See squeue")
    return job


def requeue(job: str) -> None:
    """End a job and have it start again from the queue."""
    call("scontrol", "requeue", job)


def running(job: str) -> int | None:
    """Return which start of a job runs, 0 for its first; none if it does not run, or ends just now."""
    said = call("squeue", "--noheader", "--states=running", "--Format=RestartCnt", f"--jobs={job}").strip()
    return int(said) if said.isdecimal() else None


def queued(jobs: Sequence[str]) -> tuple[Queued, ...]:
    """Return what SLURM knows of `jobs` (ids), ended ones for as long as it remembers them."""
    arguments = ["--noheader", "--array", "--states=all", f"--format={'|'.join(_FIELDS)}", f"--jobs={','.join(jobs)}"]
    done = _run("squeue", *arguments)
    if done.returncode:
        if "Invalid job id" in done.stderr:  # it has forgotten the only one
            return ()
        raise InputError(_failed("squeue", done))
    rows = (line.split("|", len(_FIELDS) - 1) for line in done.stdout.splitlines())
    return tuple(Queued(*row) for row in rows if len(row) == len(_FIELDS))


def call(program: str, *arguments: str) -> str:
    """Run one of SLURM's commands and return what it prints; InputError where it is missing, fails or hangs."""
    done = _run(program, *arguments)
    if done.returncode:
        raise InputError(_failed(program, done))
    return done.stdout


def _run(program: str, *arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            [program, *arguments],
            input=text,
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            timeout=SECONDS,
            check=False,
        )
    except FileNotFoundError:
        raise InputError(
            f"there is no SLURM here: {program} is not among the programs; run this on a cluster's login node"
        ) from None
    except subprocess.TimeoutExpired:
        raise InputError(
            f"{program} has not answered for {SECONDS:.0f} s: is SLURM's controller up? See sinfo"
        ) from None


def _failed(program: str, done: subprocess.CompletedProcess[str]) -> str:
    said = " ".join((done.stderr or done.stdout).split()) or "nothing"
    return f"{program} failed with {done.returncode} and said: {said}"
