"""The table of runs, and the same as JSON."""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cavs_dist.cluster import scheduler
from cavs_dist.cluster.scheduler import Queued
from cavs_dist.errors import InputError
from cavs_dist.jobs.files import shown
from cavs_dist.jobs.progress import Progress
from cavs_dist.jobs.run import Run, find_runs, read_run
from cavs_dist.jobs.state import Verdict, judge

USUAL = Path("runs")
COLOURS = {
    "running": "green",
    "finished": "blue",
    "waiting": "cyan",
    "stopped": "yellow",
    "failed": "red",
    "dead": "red",
}
MOST_IDS = 500  # of jobs that SLURM is asked for at once


def print_jobs(folders: Sequence[Path], console: Console, *, as_json: bool) -> None:
    """Print all runs in `folders` (without any: in `runs`), what became of each, and its jobs.

    InputError where there is no such folder, or no run in any.
    """
    folders = folders or (USUAL,)
    for folder in folders:
        if not folder.is_dir():
            raise InputError(f"{folder} is no folder: give run folders, or folders that hold some")
    runs = [read_run(path) for path in dict.fromkeys(path for folder in folders for path in find_runs(folder))]
    if not runs:
        raise InputError(f"there is no run in {', '.join(map(str, folders))}: start one by `cavs-dist train`")
    queue, trouble = ask_queue(runs)
    verdicts = [(run, judge(run, queue)) for run in runs]
    if as_json:
        console.file.write(json.dumps([as_object(*pair) for pair in verdicts], indent=1) + "\n")
        return
    console.print(table(verdicts))
    for line in reasons(verdicts):
        console.print(escape(line), soft_wrap=True)
    if trouble:
        console.print(f"SLURM's own word is missing: {escape(trouble)}")


def ask_queue(runs: Sequence[Run]) -> tuple[dict[str, Queued], str]:
    """Return what SLURM knows of the runs' jobs, by id, and why it could not be asked, if so."""
    ids = list(dict.fromkeys(job.id for run in runs for job in run.jobs))
    queue: dict[str, Queued] = {}
    try:
        for start in range(0, len(ids), MOST_IDS):
            queue |= {job.id: job for job in scheduler.queued(ids[start : start + MOST_IDS])}
    except InputError as error:
        return queue, str(error)
    return queue, ""


def as_object(run: Run, verdict: Verdict) -> dict[str, Any]:
    """Return a run as JSON has it."""
    return {
        "folder": str(run.folder), "state": verdict.state, "where": verdict.where, "why": verdict.why,
        "method": run.method, "seed": run.seed, **asdict(run.progress), "silent": run.told,
        "restarts": verdict.restarts, "jobs": [asdict(job) for job in verdict.jobs],
    }  # fmt: skip


def table(verdicts: Sequence[tuple[Run, Verdict]]) -> Table:
    """Return one row a run, and one below it for each of its jobs where there are several; the why is in `reasons`."""
    above = Path(os.path.commonpath([run.folder.parent for run, _ in verdicts]))
    rows = Table(title=f"runs in {_cell(str(above))}", title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for column in ("run", "state", "stage", "update", "ETA", "metric (stage)", "restarts"):
        rows.add_column(column, no_wrap=True)
    rows.add_column("where", overflow="fold")
    for run, verdict in verdicts:
        progress = run.progress
        colour = COLOURS.get(verdict.state, "default")
        rows.add_row(
            _cell(str(run.folder.relative_to(above))), f"[{colour}]{verdict.state}[/]", _stage(progress),
            _update(progress), _eta(progress, verdict), _cell(_metric(progress)), str(verdict.restarts or ""),
            _cell(verdict.where),
        )  # fmt: skip
        for job in verdict.jobs if len(verdict.jobs) > 1 else ():
            name, state, until = f"- job {job.id}", job.state.lower(), "" if job.until is None else f"to {job.until}"
            restarts = str(job.restarts or "")
            rows.add_row(_cell(name), _cell(state), until, "", "", "", restarts, _cell(job.where))
    return rows


def reasons(verdicts: Sequence[tuple[Run, Verdict]]) -> Iterator[str]:
    """Yield a line for each run, and each of its jobs, of which there is a reason to tell."""
    for run, verdict in verdicts:
        if verdict.why:
            yield shown(f"{run.folder}: {verdict.why}")
        for job in verdict.jobs:
            if why := "; ".join(filter(None, (f"after {job.after}" if job.after else "", job.why, *job.reasons))):
                yield shown(f"{run.folder}, job {job.id}: {why}")


def _cell(text: str) -> str:
    """Return text from outside as one cell of the table."""
    return escape(shown(text))


def _stage(progress: Progress) -> str:
    if progress.stage is None:
        return f"- of {progress.stages}" if progress.stages else ""
    return f"{progress.stage} of {'?' if progress.stages is None else f'0-{progress.stages - 1}'}"


def _update(progress: Progress) -> str:
    if progress.update is None:
        return ""
    return f"{progress.update}/{'?' if progress.updates is None else progress.updates} {progress.role}"


def _eta(progress: Progress, verdict: Verdict) -> str:
    if verdict.state != "running":
        return ""
    return "unknown" if progress.seconds is None else clock(progress.seconds)


def clock(seconds: float) -> str:
    """Return hours:minutes:seconds, with days before them where there are any."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return (f"{days} d " if days else "") + f"{hours}:{minutes:02d}:{rest:02d}"


def _metric(progress: Progress) -> str:
    loss = "" if progress.loss is None else f"loss {progress.loss:.3f}"
    return ", ".join(filter(None, (progress.metric, "" if progress.finished else loss)))
