"""A run folder, read as what it is: files from outside. Every number is checked before anything is made of it."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from cavs_dist.errors import InputError
from cavs_dist.report.fields import Fields, parse_object, read_text

TASKS = ("segmentation", "separation")


@dataclass(frozen=True)
class LossLine:
    """One training line of `metrics.jsonl`; terms: `loss` and its parts by name, non-finite ones left out."""

    update: int
    stage: int
    phase: str
    terms: Mapping[str, float]


@dataclass(frozen=True)
class Run:
    """What a run of any task has. config: the text of its file. settings: that text as a tree whose leaves are text."""

    folder: Path
    config: str
    settings: Mapping[str, Any]
    task: str
    method: str
    seed: str
    data: str
    environment: Mapping[str, str]
    losses: tuple[LossLine, ...]


@dataclass(frozen=True)
class JudgedRun(Run, ABC):
    """A run with what it wrote about each evaluated stage, which is of its task."""

    @property
    @abstractmethod
    def brought(self) -> tuple[tuple[str, ...], ...]:
        """The classes that each stage brought, from stage 0, as far as evaluated."""


def read_run(folder: Path) -> Run:
    """Read what is of no task. Raises InputError if the folder is no run's, or holds a file that no run wrote."""
    path = folder / "config.yaml"
    if not path.is_file():
        raise InputError(f"{folder} is no run folder: it has no config.yaml; give the `out` of a `cavs-dist train`")
    config = read_text(path)
    settings = _settings(config, path)
    task = setting(settings, "task.name", "segmentation")
    if task not in TASKS:
        raise InputError(f"{path}: `task.name` is {task}, expected {' or '.join(TASKS)}")
    return Run(
        folder=folder,
        config=config,
        settings=settings,
        task=task,
        method=setting(settings, "method.name", folder.resolve().name),
        seed=setting(settings, "seed", ""),
        data=setting(settings, "data.path", ""),
        environment=_environment(folder / "environment.json"),
        losses=_losses(folder / "metrics.jsonl"),
    )


def only_task(runs: Sequence[Run]) -> str:
    """Return the task of all runs. Raises InputError if there are several: their numbers have nothing in common."""
    first = runs[0]
    for run in runs:
        if run.task != first.task:
            raise InputError(
                f"{first.folder} is a run of {first.task} and {run.folder} one of {run.task}: "
                "make a report of each task's runs"
            )
    return first.task


def setting(settings: Mapping[str, Any], key: str, default: str) -> str:
    """Return the text at `section.key`, `default` where there is none."""
    value: Any = settings
    for name in key.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, str) else default


def _settings(text: str, path: Path) -> dict[str, Any]:
    try:
        # BaseLoader makes texts, lists and mappings only: nothing is guessed, nothing is built.
        tree = yaml.load(text, Loader=yaml.BaseLoader)
    except (yaml.YAMLError, RecursionError) as error:
        raise InputError(f"{path} is not valid YAML: it is cut off or was edited ({error})") from error
    if not isinstance(tree, dict):
        raise InputError(f"{path} holds no sections: it is no config of a run")
    return tree


def _environment(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}

    def flat(prefix: str, values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        for key, value in values.items():
            if isinstance(value, dict):
                yield from flat(f"{prefix}{key}.", value)
            else:
                yield prefix + key, str(value)

    return dict(flat("", parse_object(read_text(path), str(path))))


def _losses(path: Path) -> tuple[LossLine, ...]:
    text = read_text(path) if path.exists() else ""
    # The line that a running or killed process has not ended yet is not one.
    lines = text[: text.rfind("\n") + 1].splitlines()
    return tuple(line for number, text in enumerate(lines, 1) for line in _loss(text, f"{path} line {number}"))


def _loss(text: str, where: str) -> Iterator[LossLine]:
    values = parse_object(text, where)
    if "loss" not in values or "event" in values:
        return
    fields = Fields(values, where)
    names = [key for key in values if key.split("/")[0] == "loss" and values[key] is not None]
    terms = {name.removeprefix("loss/"): fields.number(name) for name in names}
    yield LossLine(fields.integer("update"), fields.integer("stage"), fields.text("phase"), terms)
