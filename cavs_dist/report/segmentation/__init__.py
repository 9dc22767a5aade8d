"""The report of runs that learn to mark the pixels of what sounds."""

from collections.abc import Sequence
from pathlib import Path

from cavs_dist.report.names import named_runs
from cavs_dist.report.page import Report
from cavs_dist.report.read import Run
from cavs_dist.report.segmentation.evaluation import judged
from cavs_dist.report.segmentation.page import render
from cavs_dist.report.segmentation.summary import console_table, make_summary


def make_report(runs: Sequence[Run], out: Path, seconds: float | None) -> Report:
    """Make the report of runs; links are relative to `out`. Raises InputError for a file that no run wrote."""
    named = named_runs([judged(run) for run in runs])
    summary = make_summary(named, seconds)
    return Report(render(named, summary, out), summary, console_table(summary))
