"""The page of separation: all that its template shows, gathered from runs and summary."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cavs_dist.colour_map import css_gradient
from cavs_dist.report.chart import Line
from cavs_dist.report.colours import Style
from cavs_dist.report.figures import score_charts
from cavs_dist.report.names import RESERVED
from cavs_dist.report.page import agreed, best, clock, curriculum, kept, shared, template, versions
from cavs_dist.report.read import setting
from cavs_dist.report.separation.compare import differences, in_words
from cavs_dist.report.separation.evaluation import SeparationRun
from cavs_dist.report.separation.examples import MixtureView, mixture_views
from cavs_dist.report.separation.summary import as_text, mean_of
from cavs_dist.report.separation.tables import class_groups

CHARTS = {
    "sdr": "SDR of all mixtures, dB",
    "first": "SDR of the first stage's classes, dB",
    "new": "SDR of classes of later stages, dB",
}
COLUMNS = {
    "sdr": "SDR",
    "sir": "SIR",
    "sar": "SAR",
    "first": "first stage's classes",
    "new": "later classes",
    "forgetting": "forgetting",
    "average": "average over stages",
    "gain": "gain over the floor",
}
BOUNDS = {"floor": "floor: the mixture", "ceiling": "ceiling: ratio masks"}
BOUND_STYLES = {"floor": Style("var(--soft)", "3 3", ""), "ceiling": Style("var(--soft)", "", "")}
# Older stages show fewer, so that four stages of four mixtures and three runs stay below 15 MB.
MOST_MIXTURES, MOST_EARLIER = 4, 2


@dataclass(frozen=True)
class StageExamples:
    """The mixtures to listen to after one stage, and whether they are shown unasked."""

    stage: int
    mixtures: list[MixtureView]
    open: bool


@dataclass(frozen=True)
class Bound:
    """A row of what no separator is expected to leave: its values by column, dB."""

    label: str
    values: Mapping[str, float | None]


def render(runs: Mapping[str, SeparationRun], summary: Mapping[str, Any], out: Path) -> str:
    """Return the page's HTML; its links are relative to `out`."""
    metrics = {name: summary[name] for name in runs}
    frame = shared(runs, out)
    compared = differences(runs) if frame["comparable"] else {}
    page: str = template("separation", as_text).render(
        **frame,
        facts=_facts(runs, frame["brought"], summary[RESERVED]),
        summary=metrics,
        columns=COLUMNS,
        bounds=_bounds(metrics),
        best=best(metrics, COLUMNS),
        kept=kept(metrics, "first_gain"),
        compared=[in_words(*pair, difference) for pair, difference in compared.items()],
        score_charts=score_charts(metrics, CHARTS, _bound_lines(metrics), "{:.2f} dB"),
        bound_styles={BOUNDS[bound]: style for bound, style in BOUND_STYLES.items()},
        groups={name: class_groups(metrics[name]) for name, run in runs.items() if run.stages},
        examples=_examples(runs),
        gradient=css_gradient(),
    )
    return page


def _facts(
    runs: Mapping[str, SeparationRun], brought: Sequence[Sequence[str]], seconds: float | None
) -> dict[str, str]:
    """Return what ran, as label -> words."""

    def settings(key: str, words: Mapping[str, str]) -> str:
        found = [setting(run.settings, key, next(iter(words))) for run in runs.values()]
        return agreed(words.get(value, value) for value in found)

    facts = {
        "Methods" if len(runs) > 1 else "Method": agreed(run.method for run in runs.values()),
        "Curriculum": curriculum(brought),
        "Protocol": agreed(stage.protocol for run in runs.values() for stage in run.stages),
        "Test mixtures, last stage": agreed(_judged(run) for run in runs.values() if run.stages),
        "Pairs": settings("evaluate.pairs", {"clean": "every two classes", "paper": "as the paper mixes them"}),
        "Silent estimates": settings("evaluate.silent", {"count": "count −200 dB", "skip": "left out"}),
        "Separator": settings("model.separator", {"iquery": "iQuery", "co_separation": "Co-Separation"}),
        "Sound": agreed(f"{run.rate:,} Hz" for run in runs.values()),
        "Data": agreed(run.data for run in runs.values()),
        "Seed": agreed(run.seed for run in runs.values()),
        "Time": "" if seconds is None else clock(seconds),
        "Versions": agreed(versions(run) for run in runs.values()),
    }
    return {label: words for label, words in facts.items() if words}


def _judged(run: SeparationRun) -> str:
    """Say how many mixtures a run was judged by."""
    last = run.stages[-1].record
    parts = [str(len(last["mixtures"])), f"{last['left_out']} left out", f"{last['flagged']} sources flagged"]
    return "; ".join(parts)


def _bounds(summaries: Mapping[str, Any]) -> list[Bound]:
    """Return a row for each floor and ceiling; runs that share one are not told apart."""
    rows = []
    for bound, label in BOUNDS.items():
        found: dict[tuple[float | None, ...], list[str]] = {}
        for name, summary in summaries.items():
            if summary["stages"]:
                average = mean_of(stage[bound] for stage in summary["stages"])
                values = (summary[bound], summary[f"first_{bound}"], summary[f"new_{bound}"], average)
                found.setdefault(values, []).append(name)
        for row, names in found.items():
            whose = "" if len(found) == 1 else f", of {' and '.join(names)}"
            rows.append(Bound(label + whose, dict(zip(("sdr", "first", "new", "average"), row, strict=True))))
    return rows


def _bound_lines(summaries: Mapping[str, Any]) -> dict[str, list[Line]]:
    """Return floor and ceiling behind each chart, where all runs agree on them as far as they got."""
    lines: dict[str, list[Line]] = {}
    for score, prefix in (("sdr", ""), ("first", "first_"), ("new", "new_")):
        for bound, label in BOUNDS.items():
            known = [
                tuple((stage["stage"], stage[prefix + bound]) for stage in summary["stages"])
                for summary in summaries.values()
            ]
            longest = max(known, key=len)
            if all(longest[: len(each)] == each for each in known):
                part = _wide([(float(stage), value) for stage, value in longest if value is not None])
                lines.setdefault(score, []).append(Line(label, BOUND_STYLES[bound], (part,), faint=True))
    return lines


def _wide(points: Iterable[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    """Return points as they are; a single one, which a line would not show, as two."""
    found = tuple(points)
    return tuple((found[0][0] + step, found[0][1]) for step in (-0.4, 0.4)) if len(found) == 1 else found


def _examples(runs: Mapping[str, SeparationRun]) -> list[StageExamples]:
    """Return each stage's mixtures, the last stage first; it alone is open."""
    last = max(len(run.stages) for run in runs.values()) - 1
    return [
        StageExamples(
            stage,
            mixture_views(runs, stage, MOST_MIXTURES if stage == last else MOST_EARLIER),
            open=stage == last,
        )
        for stage in range(last, -1, -1)
    ]
