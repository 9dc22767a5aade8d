"""The numbers of a report: one dictionary for files, one table for the terminal."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from cavs_dist.errors import InputError
from cavs_dist.metrics.continual import summarise
from cavs_dist.report.read import Run

METRICS = ("all", "old", "old_fg", "new", "harmonic", "previous", "forgetting", "avsbench_iou", "fscore")
COLUMNS = {"all": "all", "old": "old", "old_fg": "old, no bg", "new": "new", "harmonic": "harmonic"}
CONSOLE_COLUMNS = {**COLUMNS, "old_fg": "old fg", "forgetting": "forgetting"}
RESERVED = "seconds"


def named_runs(runs: Sequence[Run]) -> dict[str, Run]:
    """Name each run by its method; runs of the same method by their folders."""
    folders = [run.folder.resolve() for run in runs]
    if len(set(folders)) < len(folders):
        raise InputError("the same run folder was given twice; name every run once")
    names = [run.method for run in runs]
    for fallback in ([folder.name for folder in folders], [str(folder) for folder in folders]):
        uses = Counter([RESERVED, *names])
        names = [name if uses[name] == 1 else other for name, other in zip(names, fallback, strict=True)]
    return dict(zip(names, runs, strict=True))


def make_summary(runs: Mapping[str, Run], seconds: float | None) -> dict[str, Any]:
    """Return each run's metrics after its last stage, their `average` over stages and its `stages`; and `seconds`."""
    return {**{name: _metrics(run) for name, run in runs.items()}, RESERVED: seconds}


def console_table(summary: Mapping[str, Any]) -> Table:
    """Make the terminal's table: what each method knew after each stage, and what it had forgotten by then."""
    table = Table(
        title="mIoU after each stage, from 0 to 1",
        caption="old: the first stage's classes and background; old fg: those classes alone",
    )
    table.add_column("method", no_wrap=True)
    table.add_column("stage", justify="right", no_wrap=True)
    for title in CONSOLE_COLUMNS.values():
        table.add_column(title, justify="right", no_wrap=True)
    for name, metrics in summary.items():
        if name != RESERVED:
            for stage in metrics["stages"] or [{"stage": 0, **dict.fromkeys(CONSOLE_COLUMNS)}]:
                values = (as_text(stage[column]) for column in CONSOLE_COLUMNS)
                table.add_row("" if stage["stage"] else name, str(stage["stage"]), *values)
            table.add_section()
    return table


def as_text(value: float | None) -> str:
    """Write a metric with three decimals, or a dash where there is none."""
    return "–" if value is None else f"{value:.3f}"


def _metrics(run: Run) -> dict[str, Any]:
    if run.stages:
        return summarise([stage.scores for stage in run.stages], run.absent)
    return {**dict.fromkeys(METRICS), "average": dict.fromkeys(METRICS), "stages": []}
