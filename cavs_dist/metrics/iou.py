"""Intersection over union in two conventions: over the whole data set, and by frame as AVSBench has it (2301.13190).

Both start from counts that are added over batches and ranks. K labels, background included; 255 is never counted.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from cavs_dist.data.clip import IGNORED


def confusion(prediction: Tensor, labels: Tensor, num_labels: int) -> Tensor:
    """Count pixels by truth (rows) and prediction (columns), [K, K] int64; both inputs have any one shape."""
    cells = labels.long() * num_labels + prediction
    cells = cells.where(labels != IGNORED, num_labels**2).flatten()
    return cells.bincount(minlength=num_labels**2 + 1)[:-1].view(num_labels, num_labels)


def iou_from_confusion(counts: Tensor) -> Tensor:
    """Return IoU_c = TP / (TP + FP + FN), [K] float64; NaN for a class in neither truth nor prediction."""
    hits = counts.diagonal().double()
    return hits / (counts.sum(dim=0) + counts.sum(dim=1) - hits)


@dataclass(frozen=True)
class FrameAreas:
    """Pixels of each class in each frame, [N, K] int64: predicted rightly, predicted, and true."""

    intersection: Tensor
    predicted: Tensor
    truth: Tensor

    @property
    def union(self) -> Tensor:
        """Pixels predicted, true, or both."""
        return self.predicted + self.truth - self.intersection


def frame_areas(prediction: Tensor, labels: Tensor, num_labels: int) -> FrameAreas:
    """Count the pixels of each class in each frame of `prediction` and `labels` [N, H, W]."""
    counted = labels != IGNORED
    return FrameAreas(
        intersection=_count(prediction, counted & (prediction == labels), num_labels),
        predicted=_count(prediction, counted, num_labels),
        truth=_count(labels, counted, num_labels),
    )


def frame_ious(areas: FrameAreas) -> Tensor:
    """Return each frame's IoU of each class, [N, K] float64; 0 where the union is empty."""
    return areas.intersection.double() / areas.union.clamp(min=1)


def frame_iou_sum(prediction: Tensor, labels: Tensor, num_labels: int) -> Tensor:
    """Return the sum over classes of each frame's IoU, [N] float64: a model's part of MSS (CMR, arXiv 2510.17234)."""
    return frame_ious(frame_areas(prediction, labels, num_labels)).sum(dim=1)


def avsbench_iou_sums(areas: FrameAreas) -> Tensor:
    """Return, for each class, the sum of its frames' IoU and the number of frames with a union, [2, K] float64."""
    return sums_over_frames(frame_ious(areas), areas)


def sums_over_frames(values: Tensor, areas: FrameAreas) -> Tensor:
    """Add up [N, K] `values`, which are 0 where a union is empty, and count the frames where it is not."""
    return torch.stack([values.sum(dim=0), (areas.union > 0).sum(dim=0).double()])


def mean_over_frames(sums: Tensor) -> Tensor:
    """Turn sums over frames, [2, K], into means [K]; NaN for a class without a frame."""
    return sums[0] / sums[1]


def as_scores(values: Tensor) -> tuple[float | None, ...]:
    """Turn [K] values into numbers, None for NaN: a class that is absent."""
    return tuple(None if value != value else value for value in values.tolist())


def _count(classes: Tensor, counted: Tensor, num_labels: int) -> Tensor:
    """Count each frame's `counted` pixels by class: [N, H, W] to [N, K]."""
    frames = classes.shape[0]
    row = torch.arange(frames, device=classes.device)[:, None, None] * (num_labels + 1)
    cells = (row + classes.where(counted, num_labels)).flatten()
    return cells.bincount(minlength=frames * (num_labels + 1)).view(frames, -1)[:, :num_labels]
