"""The report of one or several run folders: numbers for scripts, a table for the terminal, a page for people."""

import json
from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from cavs_dist.report.page import Report
from cavs_dist.report.read import Run, only_task, read_run

__all__ = ["write_report"]


def write_report(folders: Sequence[Path], out: Path, seconds: float | None) -> Table:
    """Write `out/report.html` and `out/summary.json` about run folders of one task; return the terminal's table.

    seconds: how long all of it took, where that is known. Raises InputError for a folder that no run wrote, and for
    runs of different tasks.
    """
    report = _make([read_run(folder) for folder in folders], out, seconds)
    out.mkdir(parents=True, exist_ok=True)
    (out / "report.html").write_text(report.page, encoding="utf-8")
    (out / "summary.json").write_text(json.dumps(report.summary, indent=1) + "\n", encoding="utf-8")
    return report.table


def _make(runs: Sequence[Run], out: Path, seconds: float | None) -> Report:
    # Here, since separation is measured with torch, which takes seconds to import.
    if only_task(runs) == "separation":
        from cavs_dist.report.separation import make_report
    else:
        from cavs_dist.report.segmentation import make_report
    return make_report(runs, out, seconds)
