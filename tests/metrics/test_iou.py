import math

import pytest
import torch
from torch import Tensor

from cavs_dist.metrics.iou import (
    as_scores,
    avsbench_iou_sums,
    confusion,
    frame_areas,
    frame_iou_sum,
    frame_ious,
    iou_from_confusion,
    mean_over_frames,
)

NUM_LABELS = 5


def frames(count: int = 6) -> tuple[Tensor, Tensor]:
    """Predictions and labels in which class 4 never occurs and one frame is not annotated."""
    source = torch.Generator().manual_seed(count)
    prediction = torch.randint(0, 4, (count, 7, 9), generator=source)
    labels = torch.tensor([0, 1, 2, 3, 255])[torch.randint(0, 5, (count, 7, 9), generator=source)]
    prediction[1] = 0
    labels[1, labels[1] != 255] = 0
    labels[2] = 255
    return prediction, labels


def slow_iou(prediction: Tensor, labels: Tensor, label: int) -> float | None:
    """Count pixel by pixel; None where the union is empty."""
    pixels = [(p, t) for p, t in zip(prediction.flatten().tolist(), labels.flatten().tolist(), strict=True) if t != 255]
    union = sum(label in pixel for pixel in pixels)
    return sum(pixel == (label, label) for pixel in pixels) / union if union else None


def test_confusion_counts_truth_in_rows_and_leaves_ignored_pixels_out() -> None:
    counts = confusion(torch.tensor([0, 1, 1, 2, 0]), torch.tensor([0, 1, 2, 2, 255]), 3)
    assert counts.tolist() == [[1, 0, 0], [0, 1, 0], [0, 1, 1]]
    assert counts.dtype == torch.int64


@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8])
def test_data_set_iou_equals_slow_counting(dtype: torch.dtype) -> None:
    prediction, labels = frames()
    found = as_scores(iou_from_confusion(confusion(prediction, labels.to(dtype), NUM_LABELS)))
    assert found == tuple(slow_iou(prediction, labels, label) for label in range(NUM_LABELS))
    assert found[4] is None


@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8])
def test_frame_ious_equal_slow_counting(dtype: torch.dtype) -> None:
    prediction, labels = frames()
    found = frame_ious(frame_areas(prediction, labels.to(dtype), NUM_LABELS))
    for n in range(len(labels)):
        expected = [slow_iou(prediction[n], labels[n], label) or 0.0 for label in range(NUM_LABELS)]
        assert found[n].tolist() == expected
    assert frame_iou_sum(prediction, labels, NUM_LABELS).tolist() == found.sum(dim=1).tolist()
    assert frame_iou_sum(prediction, labels, NUM_LABELS)[2] == 0


def test_avsbench_iou_averages_over_frames_with_a_union() -> None:
    prediction, labels = frames()
    found = mean_over_frames(avsbench_iou_sums(frame_areas(prediction, labels, NUM_LABELS)))
    for label in range(NUM_LABELS):
        known = [iou for p, t in zip(prediction, labels, strict=True) if (iou := slow_iou(p, t, label)) is not None]
        assert found[label].item() == pytest.approx(sum(known) / len(known)) if known else math.isnan(found[label])


def test_any_order_and_any_cut_into_batches_give_the_same() -> None:
    prediction, labels = frames(40)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(1))
    cuts = list(zip(prediction[order].split(7), labels[order].split(7), strict=True))
    assert torch.equal(sum(confusion(*cut, NUM_LABELS) for cut in cuts), confusion(prediction, labels, NUM_LABELS))
    sums = sum(avsbench_iou_sums(frame_areas(*cut, NUM_LABELS)) for cut in cuts)
    whole = avsbench_iou_sums(frame_areas(prediction, labels, NUM_LABELS))
    torch.testing.assert_close(sums, whole, rtol=0, atol=1e-12)
