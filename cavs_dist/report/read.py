"""A run folder, read as what it is: files from outside. Every number is checked before anything is made of it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import yaml

from cavs_dist.errors import InputError
from cavs_dist.metrics.continual import Absent
from cavs_dist.report.evaluation import StageResult, read_stages
from cavs_dist.report.fields import Fields, parse_object, read_text


@dataclass(frozen=True)
class LossLine:
    """One training line of `metrics.jsonl`; terms: `loss` and its parts by name, non-finite ones left out."""

    update: int
    stage: int
    phase: str
    terms: Mapping[str, float]


@dataclass(frozen=True)
class Run:
    """One run folder. config: the text of its file. stages: from stage 0, as far as evaluated."""

    folder: Path
    config: str
    method: str
    seed: str
    data: str
    absent: Absent
    environment: Mapping[str, str]
    stages: tuple[StageResult, ...]
    losses: tuple[LossLine, ...]


def read_run(folder: Path) -> Run:
    """Read a run folder, finished or not. Raises InputError if it is none, or holds a file that no run wrote."""
    if not (folder / "config.yaml").is_file():
        raise InputError(f"{folder} is no run folder: it has no config.yaml; give the `out` of a `cavs-dist train`")
    config = read_text(folder / "config.yaml")
    settings = _settings(config, folder / "config.yaml")
    absent = settings.get("evaluate.absent", "skip")
    if absent not in get_args(Absent):
        raise InputError(f"{folder / 'config.yaml'}: `evaluate.absent` is {absent}, expected skip or zero")
    return Run(
        folder=folder,
        config=config,
        method=settings.get("method.name", folder.resolve().name),
        seed=settings.get("seed", ""),
        data=settings.get("data.path", ""),
        absent="zero" if absent == "zero" else "skip",
        environment=_environment(folder / "environment.json"),
        stages=read_stages(folder / "stages"),
        losses=_losses(folder / "metrics.jsonl"),
    )


def _settings(text: str, path: Path) -> dict[str, str]:
    """Return `section.key` -> the text that stands there, for the top level and one below it."""
    try:
        # BaseLoader makes texts, lists and mappings only: nothing is guessed, nothing is built.
        tree = yaml.load(text, Loader=yaml.BaseLoader)
    except (yaml.YAMLError, RecursionError) as error:
        raise InputError(f"{path} is not valid YAML: it is cut off or was edited ({error})") from error
    if not isinstance(tree, dict):
        raise InputError(f"{path} holds no sections: it is no config of a run")
    sections = {name: section for name, section in tree.items() if isinstance(section, dict)}
    pairs = {f"{name}.{key}": value for name, section in sections.items() for key, value in section.items()}
    return {str(key): value for key, value in (tree | pairs).items() if isinstance(value, str)}


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
