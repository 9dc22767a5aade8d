import pytest
import torch

from cavs_dist.memory.score import consistency
from cavs_dist.outputs.segmentation import Batch

LABELS = 4


def make_batch(*keys: str) -> Batch:
    """Clips of 3 frames, the last of every second clip padded, some frames not annotated."""
    clips, frames = len(keys), 3
    present = torch.ones(clips, frames, dtype=torch.bool)
    present[1::2, -1] = False
    annotated = present & torch.tensor([True, False, True])
    labels = torch.where(torch.rand(clips * frames, 6, 5) < 0.2, 255, torch.randint(LABELS - 1, (clips * frames, 6, 5)))
    labels[~annotated.flatten()] = 255
    nothing = torch.zeros(clips * frames)
    memory = torch.zeros(clips, dtype=torch.bool)
    return Batch(keys, memory, nothing, nothing, labels, present, annotated, nothing, nothing)


def slow_iou_sum(prediction: torch.Tensor, labels: torch.Tensor) -> float:
    """The sum over classes of one frame's IoU, pixel by pixel; 0 for a class in neither."""
    pairs = [(p, y) for p, y in zip(prediction.flatten().tolist(), labels.flatten().tolist(), strict=True) if y != 255]
    total = 0.0
    for c in range(LABELS):
        union = sum(p == c or y == c for p, y in pairs)
        total += sum(p == c and y == c for p, y in pairs) / union if union else 0.0
    return total


def test_delta_is_the_sum_over_annotated_frames_and_classes() -> None:
    torch.manual_seed(0)
    batch = make_batch("a", "b", "c")
    heard, seen = torch.randint(LABELS, (2, *batch.labels.shape))
    deltas = consistency(batch, heard, seen, LABELS)
    assert deltas.dtype == torch.float64
    for clip in range(3):
        expected = 0.0
        for frame in range(3):
            n = 3 * clip + frame
            if batch.annotated[clip, frame]:
                expected += slow_iou_sum(heard[n], batch.labels[n]) - slow_iou_sum(seen[n], batch.labels[n])
        assert deltas[clip].item() == pytest.approx(expected, abs=1e-12)


def test_what_is_said_of_frames_without_truth_counts_nothing() -> None:
    torch.manual_seed(1)
    batch = make_batch("a", "b")
    heard, seen = torch.randint(LABELS, (2, *batch.labels.shape))
    other = torch.where(batch.annotated.view(-1, 1, 1), heard, 1)
    assert consistency(batch, heard, seen, LABELS).equal(consistency(batch, other, seen, LABELS))
