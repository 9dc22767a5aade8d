"""The report of one or several run folders: numbers for scripts, a table for the terminal, a page for people."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cavs_dist.report.page import render
from cavs_dist.report.read import read_run
from cavs_dist.report.summary import console_table, make_summary, named_runs

__all__ = ["console_table", "write_report"]


def write_report(runs: Sequence[Path], out: Path, seconds: float | None) -> dict[str, Any]:
    """Write `out/report.html` and `out/summary.json` about run folders, and return the summary.

    seconds: how long all of it took, where that is known. Raises InputError for a folder that no run wrote.
    """
    named = named_runs([read_run(folder) for folder in runs])
    summary = make_summary(named, seconds)
    out.mkdir(parents=True, exist_ok=True)
    (out / "report.html").write_text(render(named, summary, out), encoding="utf-8")
    (out / "summary.json").write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    return summary
