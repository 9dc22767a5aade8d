from collections.abc import Callable
from pathlib import Path

import pytest

from cavs_dist.report.read import read_run
from cavs_dist.report.separation.evaluation import judged
from cavs_dist.report.separation.summary import make_summary
from cavs_dist.report.separation.tables import class_groups

MakeRun = Callable[..., Path]


def test_classes_are_grouped_by_the_stage_that_brought_them(make_run: MakeRun) -> None:
    first, second = class_groups(make_summary({"a": judged(read_run(make_run()))}, None)["a"])
    assert [row.name for row in first.rows] == ["dog", "drum"]
    assert [cell.sdr for cell in first.rows[0].cells] == [6.0, 3.0]
    assert [cell.sdr for cell in second.rows[0].cells] == [None, 8.0]
    assert (first.rows[0].floor, first.rows[1].floor, first.mean.floor, first.mean.ceiling) == (1.0, -1.0, 0.0, 15.0)
    assert [cell.sdr for cell in first.mean.cells] == [6.0, 3.0]


def test_the_share_is_how_far_from_floor_to_ceiling(make_run: MakeRun) -> None:
    summary = make_summary({"a": judged(read_run(make_run()))}, None)["a"]
    after = summary["stages"][1]["by_class"]
    assert class_groups(summary)[0].rows[0].cells[1].share == pytest.approx((3 - 1) / (15 - 1))
    after["sdr"] |= {"dog": -4.0, "drum": 16.0}
    after["ceiling"]["bird"] = -1.0
    first, second = class_groups(summary)
    assert [row.cells[1].share for row in (*first.rows, *second.rows)] == [0.0, 1.0, 0.0]
