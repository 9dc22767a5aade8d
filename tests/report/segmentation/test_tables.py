from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cavs_dist.report.read import read_run
from cavs_dist.report.segmentation.evaluation import judged
from cavs_dist.report.segmentation.summary import make_summary
from cavs_dist.report.segmentation.tables import class_groups, confusion

MakeRun = Callable[..., Path]


def test_classes_are_grouped_by_the_stage_that_brought_them(make_run: MakeRun) -> None:
    summary = make_summary({"cmr": judged(read_run(make_run()))}, None)["cmr"]
    background, first, second = class_groups(summary, "skip")
    assert [row.name for row in background.rows] == ["background"]
    assert [row.name for row in first.rows] == ["dog", "drum"]
    assert first.means == pytest.approx((0.5, 0.25))
    assert first.rows[0].best == 0.5
    assert second.rows[0].values == (None, pytest.approx(0.65))
    assert second.means[0] is None


def test_means_treat_absent_classes_as_the_metrics_do(make_run: MakeRun) -> None:
    summary = make_summary({"cmr": judged(read_run(make_run()))}, None)["cmr"]
    summary["stages"][0]["iou"]["drum"] = None
    assert class_groups(summary, "skip")[1].means[0] == 0.5
    assert class_groups(summary, "zero")[1].means[0] == 0.25
    assert class_groups(summary, "zero")[2].means[0] is None


def test_confusion_is_shares_of_the_true_class_and_names_the_worst_pairs(make_run: MakeRun) -> None:
    stage = judged(read_run(make_run(stages=1))).stages[0]
    counts = np.array([[90, 10, 0], [5, 10, 5], [0, 0, 0]])
    table = confusion(replace(stage, confusion=counts))
    assert table.rows == ((0.9, 0.1, 0.0), (0.25, 0.5, 0.25), (None, None, None))
    assert [(pair.truth, pair.prediction, pair.share) for pair in table.worst] == [("dog", "drum", 0.25)]
