import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cavs_dist.jobs.progress import pace, read_progress, remaining

MakeRun = Callable[..., Path]


def line(update: int, stage: int, role: str, seconds: float) -> dict[str, Any]:
    return {"update": update, "stage": stage, "phase": role, "loss": 0.5, "seconds": seconds}


def test_a_run_in_its_first_fit(make_run: MakeRun) -> None:
    found = read_progress(make_run(lines=[line(5, 0, "main", 10.0), line(10, 0, "main", 20.0)]))
    assert (found.stage, found.role, found.update, found.updates) == (0, "main", 10, 20)
    assert found.seconds == 2.0 * (10 + 10 + 30)
    assert (found.doing, found.finished, found.metric, found.loss) == ("training", False, "", 0.5)


def test_updates_are_those_of_the_fit(make_run: MakeRun) -> None:
    lines = [line(20, 0, "main", 40.0), line(30, 0, "twin", 5.0), line(34, 1, "main", 4.0), line(36, 1, "main", 6.0)]
    folder = make_run(lines=lines, done={"0/main": 20, "0/twin": 10}, judged=1)
    found = read_progress(folder)
    assert (found.stage, found.update, found.updates, found.seconds) == (1, 6, 30, 24.0)
    assert found.metric == "all 0.250 (0)"


def test_between_fits_the_next_ones_are_ahead(make_run: MakeRun) -> None:
    lines = [line(10, 0, "main", 5.0), line(20, 0, "main", 10.0)]
    found = read_progress(make_run(lines=lines, done={"0/main": 20}))
    assert (found.update, found.doing, found.seconds) == (20, "evaluating", 0.5 * 40)


def test_a_finished_run_is_finished(make_run: MakeRun) -> None:
    done = {"0/main": 20, "0/twin": 10, "1/main": 30}
    assert read_progress(make_run("a", lines=[line(60, 1, "main", 9.0)], done=done, judged=2)).finished
    assert not read_progress(make_run("b", lines=[line(60, 1, "main", 9.0)], done=done, judged=1)).finished
    outlook = {"stages": [{"fits": {"main": 20, "twin": 10}}, {"remembers": True, "fits": {"main": 30}}]}
    assert not read_progress(make_run("c", outlook=outlook, done=done, judged=2)).finished


def test_a_run_rests_between_two_stages(make_run: MakeRun) -> None:
    done = {"0/main": 20, "0/twin": 10}
    lines = [line(30, 0, "twin", 9.0)]
    assert read_progress(make_run("a", lines=lines, done=done, judged=1)).rests
    assert not read_progress(make_run("b", lines=lines, done={"0/main": 20}, judged=1)).rests
    assert not read_progress(make_run("c", lines=lines, done=done, judged=1, files={"stages/1/begin.pt": ""})).rests


def test_without_an_outlook_the_rest_is_unknown(make_run: MakeRun) -> None:
    lines = [line(5, 0, "main", 10.0), line(10, 0, "main", 20.0)]
    found = read_progress(make_run("a", outlook=None, lines=lines))
    assert (found.stages, found.updates, found.seconds, found.finished) == (None, None, None, False)
    evaluated = {"event": "evaluation", "update": 10, "stage": 0, "test/sdr": 3.5}
    found = read_progress(make_run("b", outlook=None, lines=[*lines, evaluated], done={"0/main": 10}, judged=1))
    assert found.finished and found.metric == "sdr 3.500 (0)"


def test_an_unknown_fit_ahead_leaves_the_rest_unknown(make_run: MakeRun) -> None:
    stages = [{"fits": {"main": 20}}, {"fits": {"main": None}}]
    lines = [line(5, 0, "main", 10.0), line(10, 0, "main", 20.0)]
    found = read_progress(make_run(outlook={"stages": stages}, lines=lines))
    assert (found.updates, found.seconds) == (20, None)


@pytest.mark.parametrize("outlook", [{}, {"stages": 2}, {"stages": [3]}, {"stages": [{"fits": [1]}]}])
@pytest.mark.parametrize(
    "text", ["", "{}\n", '{"stage": -1, "phase": "main", "loss": 1}\n', '{"update": []}\n', "\0\n"]
)
def test_damage_reads_as_nothing(make_run: MakeRun, outlook: dict[str, Any], text: str) -> None:
    folder = make_run(outlook=outlook, files={"stages/x/main.safetensors": "", "stages/0/evaluation.json": "[1]"})
    (folder / "metrics.jsonl").write_text(text)
    found = read_progress(folder)
    assert (found.stage, found.update, found.metric) == (None, None, "") and not found.finished


def test_the_pace_is_of_one_process_and_one_fit() -> None:
    before = [line(1, 0, "main", 100.0), line(2, 0, "main", 200.0)]
    assert pace([*before, line(3, 0, "main", 1.0), line(5, 0, "main", 4.0), line(7, 0, "main", 7.0)]) == 1.5
    assert pace([*before, line(3, 0, "twin", 300.0), line(4, 0, "twin", 303.0)]) == 3.0
    assert pace([*before, line(3, 0, "main", 1.0)]) is None
    assert pace([line(1, 0, "main", 1.0)]) is None
    assert pace([line(5, 0, "main", 1.0), line(5, 0, "main", 2.0)]) is None


def test_what_remains() -> None:
    assert remaining(2.0, [3, 4]) == 14.0
    assert remaining(None, []) == remaining(None, [0]) == 0.0
    assert remaining(None, [1]) is None and remaining(2.0, [1, None]) is None


def test_a_real_run_is_finished_as_it_foretold(finished: Path) -> None:
    outlook = json.loads((finished / "outlook.json").read_text())
    found = read_progress(finished)
    assert found.finished and found.stages == 2 and found.seconds == 0.0
    assert found.update == found.updates == outlook["stages"][-1]["fits"]["main"]
    assert found.metric.startswith("all 0.") and found.metric.endswith("(1)")
