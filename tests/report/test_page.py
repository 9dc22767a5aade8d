from collections.abc import Callable
from pathlib import Path

import jinja2
import pytest

from cavs_dist.report.page import agreed, best, clock, curriculum, kept, shared, template, versions
from cavs_dist.report.read import TASKS, read_run
from cavs_dist.report.segmentation.evaluation import judged

MakeRun = Callable[..., Path]


@pytest.mark.parametrize("task", TASKS)
def test_every_task_has_a_page_that_shows_nothing_undefined(task: str) -> None:
    with pytest.raises(jinja2.UndefinedError):
        template(task, str).render()


def test_links_lead_to_the_files_of_the_runs(make_run: MakeRun, tmp_path: Path) -> None:
    run = judged(read_run(make_run("a run & more")))
    (links,) = shared({"cmr": run}, tmp_path / "out")["files"].values()
    assert links["config.yaml"] == "../a%20run%20%26%20more/config.yaml"
    assert [name for name in links if "evaluation" in name] == [f"stages/{stage}/evaluation.json" for stage in (0, 1)]


def test_the_longest_run_says_what_came_when(make_run: MakeRun, tmp_path: Path) -> None:
    short, long = judged(read_run(make_run("a", stages=1))), judged(read_run(make_run("b")))
    found = shared({"a": short, "b": long}, tmp_path)
    assert found["brought"] == (("dog", "drum"), ("bird",))
    assert list(found["colours"]) == ["dog", "drum", "bird"]
    assert not found["comparable"]
    assert curriculum(found["brought"]) == "3 classes in stages of 2 + 1"
    assert curriculum(()) == ""


def test_what_is_kept_needs_something_to_keep() -> None:
    stages = [{"stage": 0, "old": 0.5}, {"stage": 1, "old": 0.2}]
    nothing = [{"stage": 0, "old": -1.0}, stages[1]]
    found = kept({"a": {"stages": stages}, "b": {"stages": stages[:1]}, "c": {"stages": nothing}}, "old")
    assert [(item.name, item.first, item.last, item.stage) for item in found] == [("a", 0.5, 0.2, 1)]


def test_the_best_is_the_highest_but_of_forgetting() -> None:
    summaries = {"a": {"all": 0.5, "forgetting": 0.1, "new": None}, "b": {"all": 0.4, "forgetting": 0.0, "new": 0.3}}
    assert best(summaries, ("all", "forgetting", "new")) == {"all": 0.5, "forgetting": 0.0}


def test_what_runs_agree_on_is_said_once(make_run: MakeRun) -> None:
    assert agreed(["x", "", "y", "x"]) == "x, y"
    assert versions(read_run(make_run())) == "torch 2.14"


@pytest.mark.parametrize(("seconds", "words"), [(42.2, "42 s"), (412, "6 min 52 s"), (11045, "3 h 04 min")])
def test_durations_are_written_as_they_are_said(seconds: float, words: str) -> None:
    assert clock(seconds) == words
