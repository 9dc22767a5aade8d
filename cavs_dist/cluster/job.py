"""What a job does before its ranks start and after they ended: it notes both, and goes on from the queue if it should.

Called by `slurm/train.sbatch` through `cavs-dist job`, on the job's first node.
"""

import fcntl
import json
import os
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cavs_dist.cluster import record, scheduler
from cavs_dist.cluster.record import Ending
from cavs_dist.errors import InputError
from cavs_dist.files import whole
from cavs_dist.last_word import LastWord, read_last_words

STOP, REFUSAL = 75, 2  # exit codes of ranks: stop.EXIT_CODE, and what the user is to mend
SECONDS_FOR_A_LOCK = 600.0  # that ranks of an earlier start may take to find out that they lost a node
SECONDS_FOR_A_REQUEUE = 600.0
# Variables that say how ranks were started. SLURM_JWT and the like are secrets.
SHOWN = re.compile(r"(SLURM|NCCL|CUDA|OMP|GLOO|UCX|FI|TORCH|HOSTNAME)_?\w*")
SECRET = re.compile(r"JWT|TOKEN|SECRET|PASSW|KEY|CREDENTIAL", re.IGNORECASE)


@dataclass(frozen=True)
class Place:
    """A job as it finds itself. job: `123`, or `123_4` of an array. nodes: SLURM's list."""

    job: str
    restart: int
    nodes: str

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Place":
        """Read SLURM's variables; InputError where this is no job."""
        number = environment.get("SLURM_JOB_ID", "")
        array, task = environment.get("SLURM_ARRAY_JOB_ID", ""), environment.get("SLURM_ARRAY_TASK_ID", "")
        restart = environment.get("SLURM_RESTART_COUNT", "0")
        if not all(re.fullmatch(r"\d{1,12}", value) for value in (number, array or "0", task or "0", restart)):
            raise InputError(f"SLURM_JOB_ID is {number!r}: this is called by slurm/train.sbatch, within a job")
        job = f"{array}_{task}" if array else number
        return cls(job, int(restart), environment.get("SLURM_JOB_NODELIST", ""))


def start(folder: Path, environment: Mapping[str, str]) -> Path:
    """Note that a job starts, and return the folder for what its ranks say, with all of its path.

    Waits for ranks of an earlier start that still hold the run; InputError if they do not go.
    """
    place = Place.of(environment)
    logs = record.logs_of(folder, place.job, place.restart)
    with whole(logs / "environment.json") as beside:
        beside.write_text(json.dumps(shown(environment), indent=1), encoding="utf-8")
    record.add_start(folder, place.job, place.restart, place.nodes)
    try:
        _wait_for_lock(folder / "lock")
    except InputError as error:
        record.add_end(folder, place.job, place.restart, "refused", REFUSAL, str(error))
        raise
    return logs.resolve()


def end(folder: Path, environment: Mapping[str, str], code: int, signalled: bool, max_restarts: int) -> int:
    """Note how the ranks ended, and have the job start again unless all is done; return the job's exit code.

    code: srun's. signalled: whether the job itself was asked to stop. Does not return where SLURM ends the job first.
    """
    place = Place.of(environment)
    words = read_last_words(record.logs_of(folder, place.job, place.restart))
    ending, reason = verdict(code, signalled, words)
    exit_code = {"finished": 0, "stopped": STOP, "crashed": 1, "refused": REFUSAL}[ending]
    record.add_end(folder, place.job, place.restart, ending, exit_code, reason)
    crashes = next(job.crashes for job in record.read_jobs(folder) if job.id == place.job)
    goes_on = ending == "stopped" or (ending == "crashed" and crashes <= max_restarts)
    # Not a job that is being cancelled; nor the next start, beside which one lives on whose node SLURM has lost.
    if goes_on and scheduler.running(place.job) == place.restart:
        print(f"{ending}: {reason}: the job goes on from the queue", flush=True)
        scheduler.requeue(place.job)
        time.sleep(SECONDS_FOR_A_REQUEUE)
    print(f"{ending}: {reason}", flush=True)
    return exit_code


def verdict(code: int, signalled: bool, words: Sequence[LastWord]) -> tuple[Ending, str]:
    """Judge how a start ended, and why: by srun's exit code, by whether the job was signalled, by ranks' last words."""
    first = {word.code: word.sentence for word in reversed(words)}
    if code == 0:
        return "finished", "all that was asked is done"
    if REFUSAL in first:
        return "refused", first[REFUSAL]
    if signalled:
        return "stopped", first.get(STOP, "SLURM asked the job to stop, and its ranks ended before they could say why")
    if STOP in first and 1 not in first:
        return "stopped", first[STOP]
    others = [word.sentence for word in words if word.code != STOP]
    return "crashed", others[0] if others else f"srun ended with {code} and no rank said why: see the job's log"


def shown(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that tell how ranks were started, without secrets."""
    return {
        name: value for name, value in sorted(environment.items()) if SHOWN.fullmatch(name) and not SECRET.search(name)
    }


def _wait_for_lock(path: Path) -> None:
    limit = time.monotonic() + SECONDS_FOR_A_LOCK
    while not _is_free(path):
        if time.monotonic() > limit:
            holder = path.read_text(encoding="utf-8", errors="replace")
            raise InputError(f"{path.parent} is in use by {holder}: end it, and submit the run again")
        time.sleep(1)


def _is_free(path: Path) -> bool:
    """Tell whether no process holds the lock of a run folder."""
    if not path.exists():
        return True
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True
