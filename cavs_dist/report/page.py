"""The page: all that the templates show, gathered from runs and summary, and rendered to one file without a script."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2

from cavs_dist.report.colours import class_colours, run_styles
from cavs_dist.report.figures import loss_charts, score_charts
from cavs_dist.report.overlay import ExampleView, example_views
from cavs_dist.report.read import Run
from cavs_dist.report.summary import COLUMNS, RESERVED, as_text
from cavs_dist.report.tables import class_groups, confusion

VERSIONS = ("cavs_dist", "torch", "deepspeed", "python")
LOWER_IS_BETTER = ("forgetting",)


@dataclass(frozen=True)
class Kept:
    """What a run kept of its first stage's classes: their mIoU when learned, and after the last stage."""

    name: str
    first: float
    last: float
    stage: int


@dataclass(frozen=True)
class StageExamples:
    """The clips to look at after one stage, and whether they are shown unasked."""

    stage: int
    clips: list[ExampleView]
    open: bool


def render(runs: Mapping[str, Run], summary: Mapping[str, Any], out: Path) -> str:
    """Return the page's HTML; its links are relative to `out`."""
    folder = Path(__file__).parent
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"score": as_text, "percent": lambda share: f"{100 * share:.0f}"}
    metrics = {name: summary[name] for name in runs}
    longest = max(runs.values(), key=lambda run: len(run.stages))
    colours = class_colours(
        dict.fromkeys(name for run in runs.values() for name in _classes(run) if name != "background")
    )
    page: str = environment.get_template("page.html").render(
        runs=runs,
        summary=metrics,
        longest=longest,
        comparable=len({_classes(run) for run in runs.values() if run.stages}) < 2,
        facts=_facts(runs, longest, summary[RESERVED]),
        columns={**COLUMNS, "forgetting": "forgetting"},
        best=_best(metrics),
        kept=[kept for name, values in metrics.items() for kept in _kept(name, values["stages"])],
        colours=colours,
        styles=run_styles(runs),
        score_charts=score_charts(metrics),
        loss_charts=loss_charts(runs),
        groups={name: class_groups(metrics[name], run.absent) for name, run in runs.items() if run.stages},
        confusions={name: confusion(run.stages[-1]) for name, run in runs.items() if run.stages},
        examples=_examples(runs, colours),
        files={name: _files(run, out) for name, run in runs.items()},
    )
    return page


def clock(seconds: float) -> str:
    """Write a duration as a person says it: 42 s, 6 min 52 s, 3 h 04 min."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def _classes(run: Run) -> tuple[str, ...]:
    return run.stages[-1].scores.classes if run.stages else ()


def _facts(runs: Mapping[str, Run], longest: Run, seconds: float | None) -> dict[str, str]:
    """Return what ran, as label -> words; several runs that agree are said once."""

    def agreed(values: list[str]) -> str:
        return ", ".join(dict.fromkeys(value for value in values if value))

    sizes = [len(stage.scores.new) for stage in longest.stages]
    facts = {
        "Methods" if len(runs) > 1 else "Method": agreed([run.method for run in runs.values()]),
        "Curriculum": f"{sum(sizes)} classes in stages of {' + '.join(map(str, sizes))}" if sizes else "",
        "Protocol": agreed([stage.protocol for run in runs.values() for stage in run.stages]),
        "Test clips, last stage": agreed([str(run.stages[-1].clips) for run in runs.values() if run.stages]),
        "Data": agreed([run.data for run in runs.values()]),
        "Seed": agreed([run.seed for run in runs.values()]),
        "Time": "" if seconds is None else clock(seconds),
        "Absent classes": agreed(["left out" if run.absent == "skip" else "count 0" for run in runs.values()]),
        "Versions": agreed([_versions(run) for run in runs.values()]),
    }
    return {label: words for label, words in facts.items() if words}


def _versions(run: Run) -> str:
    by_name = {key.split(".")[-1]: value for key, value in run.environment.items()}
    return ", ".join(f"{name} {by_name[name]}" for name in VERSIONS if name in by_name)


def _best(summary: Mapping[str, Any]) -> dict[str, float]:
    """Return each column's best value, where there is something to compare."""
    best = {}
    for column in (*COLUMNS, *LOWER_IS_BETTER):
        values = [metrics[column] for metrics in summary.values() if metrics[column] is not None]
        if len(values) > 1:
            best[column] = min(values) if column in LOWER_IS_BETTER else max(values)
    return best


def _kept(name: str, stages: list[dict[str, Any]]) -> list[Kept]:
    if len(stages) < 2 or not stages[0]["old_fg"] or stages[-1]["old_fg"] is None:
        return []
    return [Kept(name, stages[0]["old_fg"], stages[-1]["old_fg"], stages[-1]["stage"])]


def _examples(runs: Mapping[str, Run], colours: Mapping[str, str]) -> list[StageExamples]:
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


def _files(run: Run, out: Path) -> dict[str, str]:
    """Return file name -> link, for the files of the run folder that a reader may want."""
    names = ["config.yaml", "environment.json", "metrics.jsonl"]
    names += [f"stages/{stage.scores.stage}/evaluation.json" for stage in run.stages]
    folder = Path(os.path.relpath(run.folder.resolve(), out.resolve()))
    return {name: quote((folder / name).as_posix()) for name in names if (run.folder / name).exists()}
