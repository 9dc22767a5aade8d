"""The numbers of a report: one dictionary for files, one table for the terminal."""

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from cavs_dist.metrics.continual import summarise
from cavs_dist.report.names import RESERVED
from cavs_dist.report.segmentation.evaluation import SegmentationRun

METRICS = ("all", "old", "old_fg", "new", "harmonic", "previous", "forgetting", "avsbench_iou", "fscore")
COLUMNS = {"all": "all", "old": "old", "old_fg": "old, no bg", "new": "new", "harmonic": "harmonic"}
CONSOLE_COLUMNS = {**COLUMNS, "old_fg": "old fg", "forgetting": "forgetting"}


def make_summary(runs: Mapping[str, SegmentationRun], seconds: float | None) -> dict[str, Any]:
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


def _metrics(run: SegmentationRun) -> dict[str, Any]:
    if run.stages:
        return summarise([stage.scores for stage in run.stages], run.absent)
    return {**dict.fromkeys(METRICS), "average": dict.fromkeys(METRICS), "stages": []}
