"""Judge a segmenter from counts, so that ranks and batches change nothing."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from cavs_dist.curriculum import Stage
from cavs_dist.distributed import sum_over_ranks
from cavs_dist.metrics.continual import Absent, StageScores
from cavs_dist.metrics.fscore import avsbench_fscore_sums
from cavs_dist.metrics.iou import (
    as_scores,
    avsbench_iou_sums,
    confusion,
    frame_areas,
    iou_from_confusion,
    mean_over_frames,
)
from cavs_dist.outputs.segmentation import Batch


@dataclass(frozen=True)
class EvaluateConfig:
    """The section `evaluate`.

    batch: clips that a rank reads at once. absent: a class in neither truth nor prediction is left out of means
    (`skip`) or counts 0 (`zero`, as in the code CMR was released with).
    """

    batch: int = 8
    absent: Absent = "skip"


@dataclass
class Counts:
    """Sums over frames for K labels: confusion [K, K]; IoU and F-score by frame, each [2, K]; and clips seen."""

    confusion: Tensor
    iou: Tensor
    fscore: Tensor
    clips: Tensor

    @classmethod
    def zeros(cls, num_labels: int, device: torch.device) -> "Counts":
        """Start from nothing."""

        def zeros(*shape: int, dtype: torch.dtype) -> Tensor:
            return torch.zeros(shape, dtype=dtype, device=device)

        return cls(
            confusion=zeros(num_labels, num_labels, dtype=torch.int64),
            iou=zeros(2, num_labels, dtype=torch.float64),
            fscore=zeros(2, num_labels, dtype=torch.float64),
            clips=zeros(dtype=torch.int64),
        )

    def add(self, prediction: Tensor, batch: Batch) -> None:
        """Count a batch."""
        num_labels = len(self.confusion)
        areas = frame_areas(prediction, batch.labels, num_labels)
        self.confusion += confusion(prediction, batch.labels, num_labels)
        self.iou += avsbench_iou_sums(areas)
        self.fscore += avsbench_fscore_sums(areas)
        self.clips += len(batch.keys)


def count(model: nn.Module, batches: Iterable[Batch], stage: Stage, device: torch.device) -> Counts:
    """Count what the model says of every rank's batches. Collective."""
    counts = Counts.zeros(stage.num_labels, device)
    for batch in batches:
        counts.add(model(batch).prediction(), batch)
    return Counts(*(sum_over_ranks(values) for values in vars(counts).values()))


def record(counts: Counts, stage: Stage) -> dict[str, Any]:
    """Turn counts into a record ready for JSON: per class IoU, AVSBench's IoU and F-score, and the confusion matrix."""
    return {
        "stage": stage.index,
        "classes": ["background", *stage.seen],
        "new": list(stage.new),
        "iou": as_scores(iou_from_confusion(counts.confusion)),
        "avsbench_iou": as_scores(mean_over_frames(counts.iou)),
        "fscore": as_scores(mean_over_frames(counts.fscore)),
        "confusion": counts.confusion.tolist(),
        "clips": int(counts.clips),
    }


def stage_scores(records: Sequence[Mapping[str, Any]]) -> list[StageScores]:
    """Read the scores back from records."""
    fields = ("classes", "new", "iou", "avsbench_iou", "fscore")
    return [StageScores(saved["stage"], *(tuple(saved[field]) for field in fields)) for saved in records]


def validation_score(record: Mapping[str, Any]) -> float:
    """Return the mean IoU of a stage's own classes."""
    by_class = dict(zip(record["classes"], record["iou"], strict=True))
    known = [by_class[name] for name in record["new"] if by_class[name] is not None]
    return sum(known) / len(known) if known else 0.0
