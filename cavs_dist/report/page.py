"""What the pages of all tasks share: their frame, and what they say of any run."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import jinja2
from rich.table import Table

from cavs_dist.report.colours import class_colours, run_styles
from cavs_dist.report.figures import loss_charts
from cavs_dist.report.read import JudgedRun, Run

VERSIONS = ("cavs_dist", "torch", "deepspeed", "python")


class Report(NamedTuple):
    """A page as HTML, the numbers of it for scripts, and a table for the terminal."""

    page: str
    summary: dict[str, Any]
    table: Table


@dataclass(frozen=True)
class Kept:
    """What a run kept of its first stage's classes: their score when learned, and after the last stage."""

    name: str
    first: float
    last: float
    stage: int


def template(task: str, score: Callable[[float | None], str]) -> jinja2.Template:
    """Return the page of a task, in which all is escaped; `score` writes its scores."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"score": score, "percent": lambda share: f"{round(100 * share)}"}
    return environment.get_template(f"{task}/page.html")


def shared(runs: Mapping[str, JudgedRun], out: Path) -> dict[str, Any]:
    """Return what `base.html` shows, but for the facts; links are relative to `out`."""
    classes = {name: [known for new in run.brought for known in new] for name, run in runs.items()}
    return {
        "names": list(runs),
        "runs": runs,
        "brought": max((run.brought for run in runs.values()), key=len),
        "comparable": len({tuple(known) for known in classes.values() if known}) < 2,
        "colours": class_colours(dict.fromkeys(known for each in classes.values() for known in each)),
        "styles": run_styles(runs),
        "loss_charts": loss_charts(runs),
        "files": {name: _files(run, out) for name, run in runs.items()},
    }


def kept(summaries: Mapping[str, Any], score: str) -> list[Kept]:
    """Return what each run kept of a score of its first stage's classes; a run that has no such is left out."""
    found = []
    for name, summary in summaries.items():
        stages = summary["stages"]
        if len(stages) > 1 and (stages[0][score] or 0) > 0 and stages[-1][score] is not None:
            found.append(Kept(name, stages[0][score], stages[-1][score], stages[-1]["stage"]))
    return found


def best(summaries: Mapping[str, Any], columns: Iterable[str]) -> dict[str, float]:
    """Return each column's best value, where there is something to compare: of forgetting the lowest."""
    found = {}
    for column in columns:
        values = [summary[column] for summary in summaries.values() if summary[column] is not None]
        if len(values) > 1:
            found[column] = min(values) if column == "forgetting" else max(values)
    return found


def agreed(values: Iterable[str]) -> str:
    """Return what runs say of themselves; several that agree are said once."""
    return ", ".join(dict.fromkeys(value for value in values if value))


def curriculum(brought: Sequence[Sequence[str]]) -> str:
    """Say how many classes came, and in what stages."""
    sizes = [len(new) for new in brought]
    return f"{sum(sizes)} classes in stages of {' + '.join(map(str, sizes))}" if sizes else ""


def versions(run: Run) -> str:
    """Say what made a run."""
    by_name = {key.split(".")[-1]: value for key, value in run.environment.items()}
    return ", ".join(f"{name} {by_name[name]}" for name in VERSIONS if name in by_name)


def clock(seconds: float) -> str:
    """Write a duration as a person says it: 42 s, 6 min 52 s, 3 h 04 min."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def _files(run: JudgedRun, out: Path) -> dict[str, str]:
    """Return file name -> link, for the files of the run folder that a reader may want."""
    names = ["config.yaml", "environment.json", "metrics.jsonl"]
    names += [f"stages/{stage}/evaluation.json" for stage in range(len(run.brought))]
    folder = Path(os.path.relpath(run.folder.resolve(), out.resolve()))
    return {name: quote((folder / name).as_posix()) for name in names if (run.folder / name).exists()}
