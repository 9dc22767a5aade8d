import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from cavs_dist.report.read import read_run
from cavs_dist.report.segmentation.evaluation import judged
from cavs_dist.report.segmentation.summary import console_table, make_summary

MakeRun = Callable[..., Path]


def test_the_summary_has_the_last_stage_on_top_and_every_stage_below(make_run: MakeRun) -> None:
    summary = make_summary({"cmr": judged(read_run(make_run()))}, 12.0)
    assert json.loads(json.dumps(summary)) == summary
    metrics = summary["cmr"]
    # After stage 0 dog and drum have 0.5; after stage 1 they have 0.25 and bird has 0.65.
    assert metrics["old_fg"] == pytest.approx(0.25)
    assert metrics["all"] == pytest.approx((0.8 + 0.25 + 0.25 + 0.65) / 4)
    assert metrics["forgetting"] == pytest.approx(0.25)
    assert metrics["stages"][0]["iou"] == pytest.approx({"background": 0.8, "dog": 0.5, "drum": 0.5})
    assert metrics["stages"][0]["new"] is None
    assert summary["seconds"] == 12.0


def test_a_run_without_stages_has_the_same_keys_and_no_numbers(make_run: MakeRun) -> None:
    runs = {"cmr": judged(read_run(make_run("a"))), "mib": judged(read_run(make_run("b", stages=0)))}
    summary = make_summary(runs, None)
    assert summary["mib"].keys() == summary["cmr"].keys()
    assert summary["mib"]["average"].keys() == summary["cmr"]["average"].keys()
    assert summary["mib"]["all"] is None


def test_the_terminal_shows_what_every_method_knew_after_every_stage(make_run: MakeRun) -> None:
    runs = {"cmr": judged(read_run(make_run("a"))), "mib": judged(read_run(make_run("b", stages=0)))}
    file = io.StringIO()
    Console(width=120, file=file).print(console_table(make_summary(runs, 3.0)))
    text = file.getvalue()
    rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in text.splitlines() if line[:1] == "│"]
    assert [row[:2] for row in rows] == [["cmr", "0"], ["", "1"], ["mib", "0"]]
    assert [row[4] for row in rows] == ["0.500", "0.250", "–"]
    assert "seconds" not in text
