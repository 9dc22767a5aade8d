import io
import json
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from cavs_dist.report.read import read_run
from cavs_dist.report.separation.evaluation import SeparationRun, judged
from cavs_dist.report.separation.summary import METRICS, as_text, console_table, make_summary, mean_of

MakeRun = Callable[..., Path]


def read(folder: Path) -> SeparationRun:
    return judged(read_run(folder))


def test_the_summary_has_the_last_stage_on_top_and_every_stage_below(make_run: MakeRun) -> None:
    summary = make_summary({"contavsep": read(make_run())}, 12.0)
    assert json.loads(json.dumps(summary)) == summary
    found = summary["contavsep"]
    # After stage 0 dog and drum have 6 dB; after stage 1 they have 3 dB and bird has 8 dB: 3 + 5.5 + 5.5 by pairs.
    assert (found["sdr"], found["first"], found["new"]) == (4.67, 3.0, 8.0)
    assert (found["forgetting"], found["average"]) == (3.0, 5.33)
    assert (found["sir"], found["sar"], found["floor"], found["ceiling"]) == (9.0, 11.0, -0.33, 15.0)
    assert (found["first_floor"], found["new_floor"], found["first_gain"]) == (0.0, -1.0, 3.0)
    assert found["gain"] == 5.0
    assert found["gain_low"] < 5.0 < found["gain_high"]
    first, last = found["stages"]
    assert (first["first_gain"], first["new"], first["forgetting"]) == (6.0, None, None)
    assert last["by_class"]["sdr"] == {"dog": 3.0, "drum": 3.0, "bird": 8.0}
    assert (last["mixtures"], last["left_out"], last["flagged"]) == (9, 0, 0)
    assert summary["seconds"] == 12.0


def test_every_number_has_two_decimals(make_run: MakeRun) -> None:
    found = make_summary({"a": read(make_run(shift=0.123456))}, None)["a"]
    assert found["first"] == 3.12
    assert found["stages"][1]["by_class"]["sdr"]["bird"] == 8.12


def test_two_runs_on_the_same_mixtures_stand_against_each_other(make_run: MakeRun) -> None:
    runs = {"a": read(make_run("a")), "b": read(make_run("b", shift=1.5)), "c": read(make_run("c", stages=1))}
    summary = make_summary(runs, None)
    assert summary["b"]["against"] == {"a": {"difference": 1.5, "low": 1.5, "high": 1.5, "mixtures": 9}}
    assert summary["a"]["against"] == {"b": {"difference": -1.5, "low": -1.5, "high": -1.5, "mixtures": 9}}
    assert summary["c"]["against"] == {}


def test_a_run_without_stages_or_mixtures_has_the_same_keys_and_no_numbers(make_run: MakeRun) -> None:
    folder = make_run("b", stages=1)
    path = folder / "stages" / "0" / "evaluation.json"
    nothing = {score: [None, None] for score in ("sdr", "sir", "sar", "floor", "ceiling")}
    path.write_text(json.dumps(json.loads(path.read_text()) | nothing | {"mixtures": [], "left_out": 3}))
    summary = make_summary({"a": read(make_run("a", stages=0)), "b": read(folder)}, None)
    for name in "ab":
        assert {metric: summary[name][metric] for metric in METRICS} == dict.fromkeys(METRICS)


def test_the_terminal_shows_every_stage_in_80_columns(make_run: MakeRun) -> None:
    runs = {"contavsep": read(make_run("a")), "fine_tune": read(make_run("b", stages=0))}
    file = io.StringIO()
    Console(width=80, file=file).print(console_table(make_summary(runs, 3.0)))
    rows = [line.split() for line in file.getvalue().splitlines()]
    assert ["contavsep", "0", "6.00", "9.00", "11.00", "6.00", "–", "–", "0.00", "15.00"] in rows
    assert ["1", "4.67", "9.00", "11.00", "3.00", "8.00", "3.00", "−0.33", "15.00"] in rows
    assert ["fine_tune", "0", *["–"] * 8] in rows
    assert "seconds" not in file.getvalue()


def test_numbers_and_nothing_are_written() -> None:
    assert (as_text(None), as_text(-1.239), as_text(0.0)) == ("–", "−1.24", "0.00")
    assert mean_of([1.0, None, 3.0]) == 2.0
    assert mean_of([None]) is None
