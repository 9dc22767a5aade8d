"""What a run folder keeps of its jobs, `slurm/jobs.jsonl`: one line for each submission, start and end.

The file is written by whoever submits and by the job itself, and is read as if anybody had: lines that make no sense
are left out.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

from cavs_dist.files import writing

FILE = "slurm/jobs.jsonl"
LONGEST = 2000  # characters of a text
LARGEST = 16 << 20  # bytes of the file that are read, from its end

# How a start ended: all that it was to do is done; all ranks saved and it goes on in another start; a rank failed; what
# the user gave is wrong, so that no other start would do better.
Ending = Literal["finished", "stopped", "crashed", "refused"]


@dataclass(frozen=True)
class End:
    """How a start of a job ended. time: ISO 8601, UTC. code: the job's exit code. reason: one sentence."""

    time: str
    ending: Ending
    code: int
    reason: str


@dataclass(frozen=True)
class Start:
    """One start of a job. restart: 0 at first. nodes: SLURM's list. end: none while it runs, or if it was cut off."""

    time: str
    restart: int
    nodes: str
    end: End | None = None

    def logs(self, folder: Path, job: str) -> Path:
        """Return where the start's ranks write, below the run folder: `rank-<r>.log`, and `environment.json`."""
        return logs_of(folder, job, self.restart)


@dataclass(frozen=True)
class Job:
    """One job of a run. id: `123`, or `123_4` of an array. submitted: when, empty for a job submitted by hand.

    until: the last stage that it trains, none for all. after: the job that has to finish first, empty for none.
    log: where all of its output is, as one.
    """

    id: str
    submitted: str = ""
    until: int | None = None
    after: str = ""
    log: str = ""
    starts: tuple[Start, ...] = ()

    @property
    def crashes(self) -> int:
        """How many of its starts ended by a crash."""
        return sum(start.end is not None and start.end.ending == "crashed" for start in self.starts)


def logs_of(folder: Path, job: str, restart: int) -> Path:
    """Return the folder of what the ranks of one start of a job say."""
    return folder / "slurm" / f"{job}.{restart}"


def add_submitted(folder: Path, job: Job) -> None:
    """Note a job that was just submitted."""
    _add(folder, "submitted", job.id, {"until": job.until, "after": job.after, "log": job.log})


def add_start(folder: Path, job: str, restart: int, nodes: str) -> None:
    """Note that a job starts, for the time `restart` after its first."""
    _add(folder, "started", job, {"restart": restart, "nodes": nodes})


def add_end(folder: Path, job: str, restart: int, ending: Ending, code: int, reason: str) -> None:
    """Note how a start of a job ended."""
    _add(folder, "ended", job, {"restart": restart, "ending": ending, "code": code, "reason": reason[:LONGEST]})


def read_jobs(folder: Path) -> tuple[Job, ...]:
    """Return the jobs of a run folder, in the order in which they were first noted; none where there is no record."""
    jobs: dict[str, Job] = {}
    for line in _lines(folder / FILE):
        name = line.text("job")
        if name:
            jobs[name] = _with(jobs.get(name, Job(name)), line)
    return tuple(jobs.values())


@dataclass(frozen=True)
class _Line:
    """A line as it was read; a value of the wrong kind reads as one that is not there."""

    values: Mapping[str, Any]

    def text(self, key: str) -> str:
        """Return a text that can be shown on a terminal."""
        value = self.values.get(key)
        kept = value[:LONGEST] if isinstance(value, str) else ""
        return "".join(character if character.isprintable() else " " for character in kept)

    def number(self, key: str) -> int | None:
        value = self.values.get(key)
        return value if type(value) is int else None


def _with(job: Job, line: _Line) -> Job:
    """Return `job` with what a line tells of it."""
    time, restart = line.text("time"), line.number("restart")
    match line.text("event"):
        case "submitted":
            return replace(
                job, submitted=time, until=line.number("until"), after=line.text("after"), log=line.text("log")
            )
        case "started" if restart is not None:
            return replace(job, starts=(*job.starts, Start(time, restart, line.text("nodes"))))
        case "ended" if line.text("ending") in get_args(Ending):
            ending: Any = line.text("ending")
            end = End(time, ending, line.number("code") or 0, line.text("reason"))
            starts = [
                replace(start, end=end) if start.restart == restart and start.end is None else start
                for start in job.starts
            ]
            return replace(job, starts=tuple(starts))
    return job


def _add(folder: Path, event: str, job: str, values: Mapping[str, Any]) -> None:
    path, time = folder / FILE, datetime.now(UTC).isoformat(timespec="seconds")
    line = json.dumps({"event": event, "job": job, "time": time, **values}) + "\n"
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab", buffering=0) as file:
            file.write(line.encode())


def _lines(path: Path) -> Iterator[_Line]:
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - LARGEST))
            text = file.read(LARGEST).decode("utf-8", errors="replace")
    except OSError:
        return
    for line in text.splitlines():
        try:
            values = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(values, dict):
            yield _Line(values)
