"""What became of a run: its folder and SLURM's queue, weighed against each other."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from cavs_dist.cluster.record import Job, Start
from cavs_dist.cluster.scheduler import Queued
from cavs_dist.jobs.run import Run

State = Literal["running", "waiting", "stopped", "finished", "failed", "dead", "new"]
ALIVE = ("RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT", "CONFIGURING")
WAITS = ("PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT", "RESV_DEL_HOLD")
GONE = ("BOOT_FAIL", "CANCELLED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "TIMEOUT", "REVOKED")
NEVER = "DependencyNeverSatisfied"
SILENT = 600.0  # seconds without a line in the log of a run that trains, after which that is told

Queue = Mapping[str, Queued]


@dataclass(frozen=True)
class JobState:
    """A job of a run. id, until, after: as in the record. state: SLURM's word, or how its last start ended. why: of
    that. restarts: how often it started again, with the reasons of the starts before."""

    id: str
    until: int | None
    after: str
    state: str
    where: str
    why: str
    restarts: int
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Verdict:
    """state: of the run. where: its machines, empty if unknown. why: a sentence that a person needs, if any."""

    state: State
    where: str
    why: str
    jobs: tuple[JobState, ...]

    @property
    def restarts(self) -> int:
        """How often jobs of the run started again."""
        return sum(job.restarts for job in self.jobs)


def judge(run: Run, queue: Queue) -> Verdict:
    """Say what became of a run. queue: what SLURM knows of jobs by id; empty where it was not, or cannot be, asked."""
    jobs = tuple(_job(job, queue.get(job.id)) for job in run.jobs)
    state, where, why = _judge(run, jobs)
    return Verdict(state, where, why, jobs)


def _judge(run: Run, jobs: tuple[JobState, ...]) -> tuple[State, str, str]:
    alive = next((job for job in jobs if job.state in ALIVE), None)
    if run.holder.alive or alive:
        return "running", alive.where if alive else run.holder.who, _doing(run)
    if (
        run.holder.elsewhere
        and run.told is not None
        and run.told < SILENT
        and not run.word
        and not run.progress.finished
    ):
        return "running", run.holder.who, "its lock is not seen from here, but its log grows"
    if run.progress.finished:
        return "finished", "", ""
    failed = _failure(run, jobs)
    waiting = next((job for job in jobs if job.state in WAITS), None)
    if waiting and waiting.why != NEVER:
        return "waiting", "", "; ".join(filter(None, (f"job {waiting.id}: {_reason(waiting)}", failed)))
    if failed:
        return "failed", "", failed
    if run.word:
        return "stopped", "", run.word
    if run.nonfinite:
        return "failed", "", run.nonfinite
    if gone := next((job for job in reversed(jobs) if job.state in GONE or job.why == NEVER), None):
        return "failed", gone.where, f"job {gone.id}: {gone.state}{f', {gone.why}' if gone.why else ''}"
    if jobs and all(job.state == "finished" for job in jobs) and run.progress.stages:
        return "stopped", "", "its jobs are done; submit the stages that are left"
    if run.progress.rests:
        return "stopped", "", f"it ended after stage {run.progress.stage}: run the same command for the stages ahead"
    if run.holder.who:
        return "dead", "", f"{run.holder.who} is gone without a word: run the same command again"
    return "new", "", "submitted, but SLURM does not know its jobs any more" if jobs else ""


def _failure(run: Run, jobs: tuple[JobState, ...]) -> str:
    """Return why the last start that ended did so by a failure; empty where it did not, or a later stop was asked."""
    ended = [(job, start) for job in run.jobs for start in job.starts if start.end is not None]
    if not ended:
        return ""
    job, start = max(reversed(ended), key=lambda pair: _seconds(pair[1]))  # of those in one second, the last
    assert start.end is not None
    if start.end.ending not in ("crashed", "refused") or (run.word and run.word_at > _seconds(start)):
        return ""
    behind = [other.id for other in jobs if other.after == job.id]
    stops = f"; job {', '.join(behind)} waited for it" if behind else ""
    return f"job {job.id} {start.end.ending} with {start.end.code}: {start.end.reason or 'it did not say why'}{stops}"


def _seconds(start: Start) -> float:
    """Return when a start ended, in seconds since 1970; 0 where the record does not make sense."""
    try:
        return datetime.fromisoformat(start.end.time).timestamp() if start.end else 0.0
    except (ValueError, OverflowError):
        return 0.0


def _job(job: Job, queued: Queued | None) -> JobState:
    last = job.starts[-1] if job.starts else None
    end = last.end if last else None
    state, why = (end.ending, end.reason) if end else ("started" if last else "submitted", "")
    if queued is not None and (end is None or queued.state in ALIVE + WAITS):
        state, why = queued.state, "" if queued.reason == "None" else queued.reason
    where = (queued.nodes if queued else "") or (last.nodes if last else "")
    reasons = tuple(
        f"{start.end.ending}: {start.end.reason}" if start.end else f"cut off on {start.nodes}"
        for start in (job.starts if state in WAITS else job.starts[:-1])
    )
    restarts = max([start.restart for start in job.starts], default=0)
    return JobState(job.id, job.until, job.after, state, where, why, restarts, reasons)


def _reason(job: JobState) -> str:
    """Return why a job waits."""
    waits = f"after job {job.after}" if job.why == "Dependency" and job.after else job.why or "it is its turn"
    return f"it starts again ({waits})" if job.reasons else waits


def _doing(run: Run) -> str:
    """Return what a run does besides training, or for how long one that trains has not told anything."""
    trains = run.progress.doing.startswith("training")
    if trains and run.told is not None and run.told > SILENT:
        return f"no word in metrics.jsonl for {run.told / 60:.0f} min"
    return "" if trains else run.progress.doing
