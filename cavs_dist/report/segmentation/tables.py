"""The report's tables: what each class scores after each stage, and what it is taken for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cavs_dist.metrics.continual import Absent
from cavs_dist.report.segmentation.evaluation import StageResult

MOST_CONFUSED = 6


@dataclass(frozen=True)
class ClassRow:
    """A class: its IoU after each stage, None before it is learned or where the test clips lack it; and its best."""

    name: str
    values: tuple[float | None, ...]
    best: float | None


@dataclass(frozen=True)
class ClassGroup:
    """The classes that a stage brought (background is its own group, of stage -1), and their mean after each stage."""

    stage: int
    rows: tuple[ClassRow, ...]
    means: tuple[float | None, ...]


@dataclass(frozen=True)
class Confused:
    """The share of a class's pixels that were taken for another class."""

    truth: str
    prediction: str
    share: float


@dataclass(frozen=True)
class Confusion:
    """rows: for each true class, the share of its pixels predicted as each class (None: no pixels), and the worst."""

    classes: tuple[str, ...]
    rows: tuple[tuple[float | None, ...], ...]
    worst: tuple[Confused, ...]


def class_groups(summary: Mapping[str, Any], absent: Absent) -> list[ClassGroup]:
    """Arrange a run's IoU as classes by stages, grouped by the stage that brought them."""
    stages = summary["stages"]
    brought = [(-1, ["background"]), *((stage["stage"], stage["new_classes"]) for stage in stages)]
    return [
        ClassGroup(
            stage,
            rows=tuple(_row(name, tuple(after["iou"].get(name) for after in stages)) for name in names),
            means=tuple(
                _mean([after["iou"][name] for name in names if name in after["iou"]], absent) for after in stages
            ),
        )
        for stage, names in brought
    ]


def confusion(stage: StageResult) -> Confusion:
    """Divide a stage's confusion matrix by the pixels of each true class, and find the worst pairs of two classes."""
    classes = stage.scores.classes
    rows = tuple(
        tuple(count / total for count in row) if (total := sum(row)) else (None,) * len(row)
        for row in stage.confusion.tolist()
    )
    pairs = [
        Confused(truth, prediction, share)
        for truth, row in zip(classes[1:], rows[1:], strict=True)
        for prediction, share in zip(classes[1:], row[1:], strict=True)
        if truth != prediction and share
    ]
    worst = sorted(pairs, key=lambda pair: -pair.share)[:MOST_CONFUSED]
    return Confusion(classes, rows, tuple(worst))


def _row(name: str, values: tuple[float | None, ...]) -> ClassRow:
    return ClassRow(name, values, max((value for value in values if value is not None), default=None))


def _mean(values: Sequence[float | None], absent: Absent) -> float | None:
    known = [value or 0.0 for value in values if value is not None or absent == "zero"]
    return sum(known) / len(known) if known else None
