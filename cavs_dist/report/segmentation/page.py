"""The page of segmentation: all that its template shows, gathered from runs and summary."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cavs_dist.report.figures import score_charts
from cavs_dist.report.names import RESERVED
from cavs_dist.report.page import agreed, best, clock, curriculum, kept, shared, template, versions
from cavs_dist.report.segmentation.evaluation import SegmentationRun
from cavs_dist.report.segmentation.overlay import ExampleView, example_views
from cavs_dist.report.segmentation.summary import COLUMNS, as_text
from cavs_dist.report.segmentation.tables import class_groups, confusion

CHARTS = {
    "all": "All classes seen, with background",
    "old_fg": "First stage's classes, no background",
    "new": "Classes of later stages",
}
TABLE = {**COLUMNS, "forgetting": "forgetting"}


@dataclass(frozen=True)
class StageExamples:
    """The clips to look at after one stage, and whether they are shown unasked."""

    stage: int
    clips: list[ExampleView]
    open: bool


def render(runs: Mapping[str, SegmentationRun], summary: Mapping[str, Any], out: Path) -> str:
    """Return the page's HTML; its links are relative to `out`."""
    metrics = {name: summary[name] for name in runs}
    frame = shared(runs, out)
    page: str = template("segmentation", as_text).render(
        **frame,
        facts=_facts(runs, frame["brought"], summary[RESERVED]),
        summary=metrics,
        columns=TABLE,
        best=best(metrics, TABLE),
        kept=kept(metrics, "old_fg"),
        score_charts=score_charts(metrics, CHARTS),
        groups={name: class_groups(metrics[name], run.absent) for name, run in runs.items() if run.stages},
        confusions={name: confusion(run.stages[-1]) for name, run in runs.items() if run.stages},
        examples=_examples(runs, frame["colours"]),
    )
    return page


def _facts(
    runs: Mapping[str, SegmentationRun], brought: Sequence[Sequence[str]], seconds: float | None
) -> dict[str, str]:
    """Return what ran, as label -> words."""
    facts = {
        "Methods" if len(runs) > 1 else "Method": agreed(run.method for run in runs.values()),
        "Curriculum": curriculum(brought),
        "Protocol": agreed(stage.protocol for run in runs.values() for stage in run.stages),
        "Test clips, last stage": agreed(str(run.stages[-1].clips) for run in runs.values() if run.stages),
        "Data": agreed(run.data for run in runs.values()),
        "Seed": agreed(run.seed for run in runs.values()),
        "Time": "" if seconds is None else clock(seconds),
        "Absent classes": agreed("left out" if run.absent == "skip" else "count 0" for run in runs.values()),
        "Versions": agreed(versions(run) for run in runs.values()),
    }
    return {label: words for label, words in facts.items() if words}


def _examples(runs: Mapping[str, SegmentationRun], colours: Mapping[str, str]) -> list[StageExamples]:
    """Return each stage's clips, the last stage first; the last three are open."""
    count = max(len(run.stages) for run in runs.values())
    return [
        StageExamples(
            number,
            example_views(
                {name: run.stages[number] for name, run in runs.items() if number < len(run.stages)}, colours
            ),
            open=number >= count - 3,
        )
        for number in reversed(range(count))
    ]
