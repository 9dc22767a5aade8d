"""The report's curves: what is known after each stage, and the loss of every phase over updates."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

from cavs_dist.report.chart import Chart, Line, draw, thin
from cavs_dist.report.colours import RUN_STYLES, Style, run_styles
from cavs_dist.report.read import LossLine, Run

MOST_POINTS = 240


def score_charts(
    summaries: Mapping[str, Any],
    titles: Mapping[str, str],
    bounds: Mapping[str, Sequence[Line]] | None = None,
    value: str = "{:.3f}",
) -> list[Chart]:
    """Draw each score of `titles` after every stage, a line for each run; a score that no stage has yet is left out.

    bounds: lines to draw behind a score's. value: how a mark's value is written.
    """
    styles = run_styles(summaries)
    charts = []
    for score, title in titles.items():
        lines = [_score_line(name, summary, score, styles[name]) for name, summary in summaries.items()]
        known = [line for line in lines if line.parts[0]]
        if known:
            behind = (bounds or {}).get(score, ())
            charts.append(draw(title, "after stage", [*known, *behind], whole_x=True, value=value))
    return charts


def loss_charts(runs: Mapping[str, Run]) -> list[tuple[Chart, Chart | None]]:
    """Draw each run's loss by phase, and the terms of its main phase where there are several."""
    return [(_phases(name, run.losses), _terms(name, run.losses)) for name, run in runs.items() if run.losses]


def _score_line(name: str, summary: Mapping[str, Any], score: str, style: Style) -> Line:
    points = tuple((stage["stage"], stage[score]) for stage in summary["stages"] if stage[score] is not None)
    return Line(name, style, (points,), marked=True)


def _phases(name: str, losses: Sequence[LossLine]) -> Chart:
    phases = list(dict.fromkeys(line.phase for line in losses))
    lines = [
        Line(phase, style, _parts((line for line in losses if line.phase == phase), "loss"))
        for phase, style in run_styles(phases).items()
    ]
    return draw(f"{name}: loss", "update", lines, dividers=_starts(losses))


def _terms(name: str, losses: Sequence[LossLine]) -> Chart | None:
    main = [line for line in losses if line.phase == losses[0].phase]
    terms = [term for term in dict.fromkeys(term for line in main for term in line.terms) if term != "loss"]
    if len(terms) < 2:
        return None
    # The colours that the phases do not use, so that a term is not taken for a phase.
    lines = [Line(term, RUN_STYLES[(2 + place) % 6], _parts(main, term)) for place, term in enumerate(terms)]
    return draw(f"{name}: terms of the {main[0].phase} loss", "update", lines, dividers=_starts(losses))


def _parts(losses: Iterable[LossLine], term: str) -> tuple[tuple[tuple[float, float], ...], ...]:
    """Return a piece of curve for each stage."""
    known = [line for line in losses if term in line.terms]
    stages = [list(group) for _, group in groupby(known, key=lambda line: line.stage)]
    return tuple(thin([(line.update, line.terms[term]) for line in stage], MOST_POINTS) for stage in stages)


def _starts(losses: Sequence[LossLine]) -> list[tuple[float, str]]:
    starts: dict[int, int] = {}
    for line in losses:
        starts.setdefault(line.stage, line.update)
    return [(update, f"stage {stage}") for stage, update in starts.items()]
