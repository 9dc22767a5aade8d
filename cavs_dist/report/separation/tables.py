"""The report's table of separation: how well each class is taken out of mixtures after each stage."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cavs_dist.report.separation.summary import mean_of


@dataclass(frozen=True)
class Cell:
    """SDR in dB, None where there is none, and how much of the way from floor to ceiling it is, 0 to 1."""

    sdr: float | None
    share: float


@dataclass(frozen=True)
class ClassRow:
    """A class, or the mean of some: what it has after each stage, and floor and ceiling after the last, dB."""

    name: str
    cells: tuple[Cell, ...]
    floor: float | None
    ceiling: float | None


@dataclass(frozen=True)
class ClassGroup:
    """The classes that a stage brought, and their mean."""

    stage: int
    rows: tuple[ClassRow, ...]
    mean: ClassRow


def class_groups(summary: Mapping[str, Any]) -> list[ClassGroup]:
    """Arrange a run's SDR as classes by stages, grouped by the stage that brought them."""
    stages = summary["stages"]
    return [
        ClassGroup(
            stage["stage"],
            rows=tuple(_row(name, [name], stages) for name in stage["new_classes"]),
            mean=_row(f"mean of stage {stage['stage']}", stage["new_classes"], stages),
        )
        for stage in stages
    ]


def _row(label: str, names: Sequence[str], stages: Sequence[Mapping[str, Any]]) -> ClassRow:
    after = [
        {score: mean_of(stage["by_class"][score].get(name) for name in names) for score in ("sdr", "floor", "ceiling")}
        for stage in stages
    ]
    return ClassRow(label, tuple(_cell(**means) for means in after), after[-1]["floor"], after[-1]["ceiling"])


def _cell(sdr: float | None, floor: float | None, ceiling: float | None) -> Cell:
    if sdr is None or floor is None or ceiling is None or ceiling <= floor:
        return Cell(sdr, 0.0)
    return Cell(sdr, min(max((sdr - floor) / (ceiling - floor), 0.0), 1.0))
