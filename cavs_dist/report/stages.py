"""The folders `stages/<s>/` of a run, as far as evaluated, and what the records of all tasks have in common."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar

from cavs_dist.errors import InputError
from cavs_dist.report.fields import Fields, parse_object, read_text

FORMAT = 1


class Stage(Protocol):
    """A stage's result: the classes seen so far, and those of them that are new."""

    @property
    def classes(self) -> tuple[str, ...]:
        """All classes that the stage knows, first come first."""

    @property
    def new(self) -> tuple[str, ...]:
        """Those that it brought: the last of `classes`."""


StageT = TypeVar("StageT", bound=Stage)


def read_each(folder: Path, read: Callable[[Path, Fields], StageT]) -> tuple[StageT, ...]:
    """Read `<s>/` for s = 0, 1, ... by its folder and its record. Raises InputError for what a run does not write."""
    indices = sorted(int(path.parent.name) for path in folder.glob("*/evaluation.json") if path.parent.name.isdecimal())
    if indices != list(range(len(indices))):
        raise InputError(f"{folder} has evaluations of stages {indices}: one is missing; evaluate the run again")
    stages = tuple(read(folder / str(index), _record(folder / str(index), index)) for index in indices)
    for index, (before, after) in enumerate(itertools.pairwise(stages), start=1):
        if after.classes != before.classes + after.new:
            raise InputError(
                f"{folder}: the classes of stage {index} are not those of the stage before it and its new ones; "
                "the files belong to different runs"
            )
    return stages


def _record(folder: Path, index: int) -> Fields:
    path = folder / "evaluation.json"
    fields = Fields(parse_object(read_text(path), str(path)), str(path))
    if fields.integer("format") != FORMAT:
        fields.refuse("format", f"{FORMAT}; a newer cavs_dist reads newer files")
    if fields.integer("stage") != index:
        fields.refuse("stage", f"{index}, like its folder")
    return fields
