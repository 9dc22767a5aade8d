"""What a run knows after each stage, and what it forgot: the summaries of class-incremental segmentation.

After PLOP (arXiv 2011.11390) and CMR (arXiv 2510.17234), from the scores of each class after each stage.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Absent = Literal["skip", "zero"]
Scores = Mapping[str, float | None]


@dataclass(frozen=True)
class StageScores:
    """The scores of each class after a stage, in the order of `classes`: background, then all seen, first come first.

    new: the stage's own classes. iou: over the data set. avsbench_iou, fscore: averaged over frames.
    None stands for a class in neither truth nor prediction.
    """

    stage: int
    classes: tuple[str, ...]
    new: tuple[str, ...]
    iou: tuple[float | None, ...]
    avsbench_iou: tuple[float | None, ...]
    fscore: tuple[float | None, ...]


def stage_matrix(records: Sequence[Mapping[str, Any]], score: str) -> tuple[list[str], list[list[Any]]]:
    """Return columns and rows of the `score` of each class after each stage; empty before a class arrives."""
    classes = records[-1]["classes"]
    rows = [[r["stage"], *r[score], *[None] * (len(classes) - len(r[score]))] for r in records]
    return ["stage", *classes], rows


def summarise(scores: Sequence[StageScores], absent: Absent) -> dict[str, Any]:
    """Summarise stages 0..s: the metrics after the last, `average` over stages, and each of the `stages`.

    Metrics are means of IoU over classes: `all` seen with background; `old`, the first stage's with background, and
    `old_fg` without; `new`, those of later stages; `harmonic` mean of `old_fg` and `new`; `previous`, those of earlier
    stages. `forgetting` is the mean over earlier stages' classes of the best IoU after an earlier stage minus the last.
    `avsbench_iou` and `fscore` are means over all seen. What a first stage cannot have is None, and averages skip it.
    absent: a class in neither truth nor prediction is left out (`skip`) or counts 0 (`zero`, as AVSBench does).
    """
    metrics = [_metrics(scores[: number + 1], absent) for number in range(len(scores))]
    average = {name: _mean(stage[name] for stage in metrics) for name in metrics[-1]}
    stages = [_describe(stage) | found for stage, found in zip(scores, metrics, strict=True)]
    return {**metrics[-1], "average": average, "stages": stages}


def _metrics(history: Sequence[StageScores], absent: Absent) -> dict[str, float | None]:
    """Return the metrics after the last stage of `history`, which starts with stage 0."""
    last = history[-1]
    iou = _by_class(last.classes, last.iou, absent)
    background, *seen = last.classes
    first = history[0].new
    earlier = seen[: len(seen) - len(last.new)]
    old_fg = _mean_of(iou, first)
    new = _mean_of(iou, seen[len(first) :])
    return {
        "all": _mean_of(iou, last.classes),
        "old": _mean_of(iou, (background, *first)),
        "old_fg": old_fg,
        "new": new,
        "harmonic": _harmonic(old_fg, new),
        "previous": _mean_of(iou, earlier),
        "forgetting": _forgetting([_by_class(stage.classes, stage.iou, absent) for stage in history], earlier),
        "avsbench_iou": _mean(_by_class(last.classes, last.avsbench_iou, absent).values()),
        "fscore": _mean(_by_class(last.classes, last.fscore, absent).values()),
    }


def _describe(stage: StageScores) -> dict[str, Any]:
    return {
        "stage": stage.stage,
        "classes": list(stage.classes),
        "new_classes": list(stage.new),
        "iou": dict(zip(stage.classes, stage.iou, strict=True)),
    }


def _by_class(classes: Sequence[str], values: Sequence[float | None], absent: Absent) -> Scores:
    instead = 0.0 if absent == "zero" else None
    return {name: instead if value is None else value for name, value in zip(classes, values, strict=True)}


def _forgetting(stages: Sequence[Scores], earlier: Collection[str]) -> float | None:
    """Return the mean over `earlier` classes of the best IoU before the last stage minus the last one."""
    *before, last = stages
    losses = []
    for name in earlier:
        known = [value for stage in before if (value := stage.get(name)) is not None]
        now = last[name]
        if known and now is not None:
            losses.append(max(known) - now)
    return _mean(losses)


def _harmonic(first: float | None, second: float | None) -> float | None:
    if first is None or second is None:
        return None
    return 2 * first * second / (first + second) if first + second > 0 else 0.0


def _mean_of(scores: Scores, names: Iterable[str]) -> float | None:
    return _mean(scores[name] for name in names)


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
