from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from cavs_dist.report.chart import Line
from cavs_dist.report.colours import RUN_STYLES
from cavs_dist.report.figures import loss_charts, score_charts
from cavs_dist.report.read import read_run
from cavs_dist.report.segmentation.evaluation import judged
from cavs_dist.report.segmentation.summary import make_summary

MakeRun = Callable[..., Path]
CHARTS = {"all": "All", "old_fg": "First", "new": "Later"}


def test_every_score_is_a_chart_with_a_line_for_each_run_that_has_it(make_run: MakeRun) -> None:
    runs = {"cmr": judged(read_run(make_run("a"))), "mib": judged(read_run(make_run("b", stages=1)))}
    summary = make_summary(runs, None)
    floor = Line("floor", RUN_STYLES[0], (((0.0, 0.1), (1.0, 0.2)),), faint=True)
    bounds = {"old_fg": [floor]}
    everything, old, new = score_charts({name: summary[name] for name in runs}, CHARTS, bounds, "{:.1f} of 1")
    assert [(stroke.name, stroke.faint) for stroke in old.strokes] == [("cmr", False), ("mib", False), ("floor", True)]
    assert [mark.label for mark in old.strokes[0].marks] == ["cmr: 0.5 of 1", "cmr: 0.2 of 1"]
    assert [stroke.name for stroke in new.strokes] == ["cmr"]
    assert len(everything.strokes[1].marks) == 1


def test_without_stages_there_is_nothing_to_draw(make_run: MakeRun) -> None:
    runs = {"mib": judged(read_run(make_run(stages=0)))}
    assert score_charts({"mib": make_summary(runs, None)["mib"]}, CHARTS) == []


def test_losses_are_drawn_by_phase_with_a_piece_for_each_stage_and_terms_apart(make_run: MakeRun) -> None:
    run = read_run(make_run())
    twin = tuple(replace(line, phase="twin", update=line.update + 40, terms={"loss": 1.0}) for line in run.losses[:20])
    ((loss, terms),) = loss_charts({"cmr": replace(run, losses=run.losses + twin)})
    assert [stroke.name for stroke in loss.strokes] == ["main", "twin"]
    assert loss.strokes[0].path.count("M") == 2
    assert [tick.label for tick in loss.dividers] == ["stage 0", "stage 1"]
    assert terms is not None
    assert [stroke.name for stroke in terms.strokes] == ["pod", "cross_entropy"]


def test_a_single_term_needs_no_chart_of_its_own(make_run: MakeRun) -> None:
    run = read_run(make_run())
    plain = tuple(replace(line, terms={"loss": 1.0, "cross_entropy": 1.0}) for line in run.losses)
    assert loss_charts({"a": replace(run, losses=plain)})[0][1] is None
    assert loss_charts({"a": replace(run, losses=())}) == []
