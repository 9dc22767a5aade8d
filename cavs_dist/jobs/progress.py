"""How far a run is: from the outlook that it left, the products of its stages and the end of its log."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
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
    products are there, or, without an outlook, nothing is begun. rests: whether it is between two stages, as it is left
    by `--until`.
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
    rests: bool = False


@dataclass(frozen=True)
class Outlook:
    """A stage as the run foretold it. updates: of its fits by role, in their order. last: the product that ends it."""

    updates: Mapping[str, int | None]
    last: str


def read_progress(folder: Path) -> Progress:
    """Return where the run in `folder` is."""
    stages = read_outlook(folder)
    fits = read_fits(folder, stages)
    lines = last_objects(folder / "metrics.jsonl")
    over = [_is_over(folder, stage, outlook, fits) for stage, outlook in enumerate(stages)]
    finished = all(over) if over else _has_ended(folder, lines)
    start = Progress(len(stages) or None, metric=_metric(folder, lines), finished=finished)
    told = [line for line in lines if _place(line)]
    place = _place(told[-1]) if told else None
    if place is None:
        return start
    stage, role = place
    before = sum(fit.updates or 0 for fit in fits if fit.done and (fit.stage, fit.role) != place)
    update = max(0, (count(told[-1], "update") or 0) - before)
    fit = next((fit for fit in fits if (fit.stage, fit.role) == place), Fit(stage, role, None, False))
    here = None if fit.updates is None else max(0, fit.updates - update)
    left = [here if other is fit else other.updates for other in fits if not other.done]
    return replace(
        start, stage=stage, role=role, update=update, updates=fit.updates, loss=number(told[-1], "loss"),
        doing=_doing(folder, fit), seconds=remaining(pace(told), left) if stages else None,
        rests=over[stage : stage + 2] == [True, False] and not (folder / "stages" / str(stage + 1)).exists(),
    )  # fmt: skip


def read_outlook(folder: Path) -> list[Outlook]:
    """Return the stages that the run foretold, none where it left no outlook that makes sense."""
    stages = read_object(folder / "outlook.json").get("stages")
    found: list[Outlook] = []
    for stage in stages if isinstance(stages, list) else []:
        fits = stage.get("fits") if isinstance(stage, dict) else None
        if not isinstance(fits, dict):
            return []
        updates = {role: count(fits, role) for role in fits if role in ROLES}
        found.append(Outlook(updates, "memory.json" if stage.get("remembers") is True else "evaluation.json"))
    return found


def read_fits(folder: Path, stages: Sequence[Outlook]) -> list[Fit]:
    """Return the fits that were foretold, and those that left a product beside them; in the order of training."""
    updates = {(stage, role): made for stage, outlook in enumerate(stages) for role, made in outlook.updates.items()}
    done: set[tuple[int, str]] = set()
    for path in folder.glob("stages/*/*.safetensors"):
        if path.parent.name.isdecimal() and path.stem in ROLES:
            place = int(path.parent.name), path.stem
            made = count(read_object(path.with_suffix(".json")), "updates")
            updates[place] = updates.get(place) if made is None else made
            done.add(place)
    return [Fit(stage, role, made, (stage, role) in done) for (stage, role), made in updates.items()]


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


def _is_over(folder: Path, stage: int, outlook: Outlook, fits: Sequence[Fit]) -> bool:
    """Tell whether a stage has left all its products."""
    done = all(fit.done for fit in fits if fit.stage == stage)
    return done and (folder / "stages" / str(stage) / outlook.last).exists()


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
    return f"{shown(name, 20)} {value:.3f}" + (f" ({stage})" if stage is not None else "")
