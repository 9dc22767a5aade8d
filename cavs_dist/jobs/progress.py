"""How far a run is: from the outlook that it left, the products of its stages and the end of its log."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cavs_dist.jobs.files import count, last_objects, number, read_object, shown

ROLES = ("main", "twin", "hearing_twin")


@dataclass(frozen=True)
class Fit:
    """A training that is planned or done. updates: of it all, None if unknown. done: whether its weights are kept."""

    stage: int
    role: str
    updates: int | None
    done: bool


@dataclass(frozen=True)
class Progress:
    """Where a run is.

    stages: how many there are, None if the run left no outlook. stage, role: of the last update that was told, None and
    empty before the first. update: of that fit. updates: of it all. doing: what it does at the moment, if it runs.
    seconds: that the fits ahead will take at the pace of this one, None if unknown; evaluations and scoring come on
    top. metric: the newest evaluation's first value. loss: of the last update that was told. finished: whether all
    products are there, or, without an outlook, nothing is begun.
    """

    stages: int | None = None
    stage: int | None = None
    role: str = ""
    update: int | None = None
    updates: int | None = None
    doing: str = ""
    seconds: float | None = None
    metric: str = ""
    loss: float | None = None
    finished: bool = False


def read_progress(folder: Path) -> Progress:
    """Return where the run in `folder` is."""
    outlook = read_object(folder / "outlook.json")
    fits = read_fits(folder, outlook)
    stages = count(outlook, "stages")
    lines = last_objects(folder / "metrics.jsonl")
    finished = _is_finished(folder, outlook, fits) if stages else _has_ended(folder, lines)
    metric = _metric(folder, lines)
    told = [line for line in lines if _place(line)]
    place = _place(told[-1]) if told else None
    if place is None:
        return Progress(stages, metric=metric, finished=finished)
    stage, role = place
    before = sum(fit.updates or 0 for fit in fits if fit.done and (fit.stage, fit.role) != (stage, role))
    update = max(0, (count(told[-1], "update") or 0) - before)
    fit = next((fit for fit in fits if (fit.stage, fit.role) == (stage, role)), Fit(stage, role, None, False))
    ahead = [other for other in fits if not other.done and other is not fit]
    left = [max(0, fit.updates - update) if fit.updates is not None else None] if not fit.done else []
    return Progress(
        stages, stage, role, update, fit.updates, _doing(folder, fit),
        None if stages is None else remaining(pace(told), [*left, *(other.updates for other in ahead)]),
        metric, number(told[-1], "loss"), finished,
    )  # fmt: skip


def read_fits(folder: Path, outlook: dict[str, Any]) -> list[Fit]:
    """Return the fits of the outlook, and those that left a product where there is none; in the order of training."""
    planned = outlook.get("fits")
    fits: dict[tuple[int, str], int | None] = {}
    for item in planned if isinstance(planned, list) else []:
        if isinstance(item, dict) and (stage := count(item, "stage")) is not None and item.get("role") in ROLES:
            fits[stage, item["role"]] = count(item, "updates")
    for path in folder.glob("stages/*/*.safetensors"):
        if path.parent.name.isdecimal() and path.stem in ROLES:
            made = count(read_object(path.with_suffix(".json")), "updates")
            place = int(path.parent.name), path.stem
            fits[place] = fits.get(place) if made is None else made
    return [
        Fit(stage, role, updates, (folder / "stages" / str(stage) / f"{role}.safetensors").exists())
        for (stage, role), updates in fits.items()
    ]


def pace(lines: Sequence[dict[str, Any]]) -> float | None:
    """Return the seconds of an update, from the last lines of one fit by one process; None from fewer than two."""
    last = lines[-1]
    end, latest = number(last, "seconds"), count(last, "update")
    first: tuple[float, int] | None = None
    for line in reversed(lines[:-1]):
        seconds, update = number(line, "seconds"), count(line, "update")
        if end is None or latest is None or seconds is None or update is None or _place(line) != _place(last):
            break
        if seconds > (first or (end, latest))[0]:  # an earlier process of the same fit
            break
        first = seconds, update
    if first is None or end is None or latest is None or latest <= first[1]:
        return None
    return (end - first[0]) / (latest - first[1])


def remaining(seconds: float | None, updates: Sequence[int | None]) -> float | None:
    """Return the seconds that `updates` take at `seconds` each, None if anything is unknown."""
    known = [one for one in updates if one is not None]
    if len(known) < len(updates) or (seconds is None and any(known)):
        return None
    return (seconds or 0.0) * sum(known)


def _is_finished(folder: Path, outlook: dict[str, Any], fits: Sequence[Fit]) -> bool:
    last = folder / "stages" / str((count(outlook, "stages") or 1) - 1)
    product = "memory.json" if outlook.get("remembers_last") is True else "evaluation.json"
    return all(fit.done for fit in fits) and (last / product).exists()


def _has_ended(folder: Path, lines: Sequence[dict[str, Any]]) -> bool:
    """Guess, for want of an outlook, whether a run is finished: its last word is an evaluation, nothing is begun."""
    return bool(lines) and lines[-1].get("event") == "evaluation" and not (folder / "checkpoints").exists()


def _place(line: dict[str, Any]) -> tuple[int, str] | None:
    """Return stage and role of a line that tells of an update, None of any other."""
    stage, role = count(line, "stage"), line.get("phase")
    return (stage, role) if stage is not None and isinstance(role, str) and role in ROLES and "loss" in line else None


def _doing(folder: Path, fit: Fit) -> str:
    if not fit.done:
        return "training" if fit.role == "main" else f"training the {fit.role.replace('_', ' ')}"
    judged = (folder / "stages" / str(fit.stage) / "evaluation.json").exists()
    return "between fits" if judged else "evaluating"


def _metric(folder: Path, lines: Sequence[dict[str, Any]]) -> str:
    """Return the first value of the newest evaluation, with its name and stage; empty before the first."""
    for line in reversed(lines):
        name = next((key for key in line if key.startswith("test/")), "")
        if line.get("event") == "evaluation" and (value := number(line, name)) is not None:
            return _described(name.removeprefix("test/"), value, count(line, "stage"))
    records = [path for path in folder.glob("stages/*/evaluation.json") if path.parent.name.isdecimal()]
    if not records:
        return ""
    newest = max(records, key=lambda path: int(path.parent.name))
    metrics = read_object(newest).get("metrics")
    metrics = metrics if isinstance(metrics, dict) else {}
    name = next(iter(metrics), "")
    found = number(metrics, name)
    return "" if found is None else _described(name, found, int(newest.parent.name))


def _described(name: str, value: float, stage: int | None) -> str:
    return f"{shown(name, 20)} {value:.3f}" + (f" after stage {stage}" if stage is not None else "")
