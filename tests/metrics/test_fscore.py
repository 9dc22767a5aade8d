import pytest
import torch

from cavs_dist.metrics.fscore import avsbench_fscore_sums, frame_fscores
from cavs_dist.metrics.iou import frame_areas, mean_over_frames


def test_frame_fscores_equal_the_formula_of_precision_and_recall() -> None:
    source = torch.Generator().manual_seed(0)
    prediction = torch.randint(0, 3, (4, 5, 6), generator=source)
    labels = torch.tensor([0, 1, 2, 255])[torch.randint(0, 4, (4, 5, 6), generator=source)]
    found = frame_fscores(frame_areas(prediction, labels, 3))
    for n in range(4):
        counted = labels[n] != 255
        for label in range(3):
            predicted, true = (prediction[n] == label) & counted, labels[n] == label
            both = int((predicted & true).sum())
            precision, recall = both / int(predicted.sum()), both / int(true.sum())
            expected = 1.3 * precision * recall / (0.3 * precision + recall) if both else 0.0
            assert found[n, label].item() == pytest.approx(expected, abs=1e-14)


def test_precision_counts_more_than_recall() -> None:
    truth = torch.tensor([[[1, 1, 1, 1, 0, 0, 0, 0]]])
    precise, complete = torch.tensor([[[1, 1, 0, 0, 0, 0, 0, 0]]]), torch.tensor([[[1, 1, 1, 1, 1, 1, 1, 1]]])
    precise_score, complete_score = (frame_fscores(frame_areas(p, truth, 2))[0, 1] for p in (precise, complete))
    assert precise_score == pytest.approx(1.3 * 0.5 / (0.3 + 0.5))
    assert complete_score == pytest.approx(1.3 * 0.5 / (0.3 * 0.5 + 1))


def test_missed_classes_count_0_and_absent_ones_do_not_count() -> None:
    labels = torch.tensor([[[1, 1]], [[1, 0]], [[255, 255]]])
    prediction = torch.tensor([[[0, 0]], [[1, 0]], [[1, 2]]])
    sums = avsbench_fscore_sums(frame_areas(prediction, labels, 3))
    assert sums.tolist() == [[1.0, 1.0, 0.0], [2.0, 2.0, 0.0]]
    assert mean_over_frames(sums)[:2].tolist() == [0.5, 0.5]
    assert mean_over_frames(sums)[2].isnan()
