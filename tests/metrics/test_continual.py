import json

import pytest

from cavs_dist.metrics.continual import StageScores, stage_matrix, summarise

CLASSES = ("background", "dog", "drum", "bird", "train")


def scores(stage: int, known: int, new: tuple[str, ...], *iou: float | None) -> StageScores:
    halves = tuple(None if value is None else value / 2 for value in iou)
    return StageScores(stage, CLASSES[:known], new, iou, halves, fscore=iou)


def run(last_dog: float | None = 0.1) -> list[StageScores]:
    """Two classes, then one, then one."""
    return [
        scores(0, 3, ("dog", "drum"), 0.9, 0.5, 0.4),
        scores(1, 4, ("bird",), 0.8, 0.6, 0.2, 0.3),
        scores(2, 5, ("train",), 0.7, last_dog, 0.3, 0.2, 0.6),
    ]


def test_the_metrics_after_the_last_stage() -> None:
    found = summarise(run(), "skip")
    assert found["all"] == pytest.approx((0.7 + 0.1 + 0.3 + 0.2 + 0.6) / 5)
    assert found["old"] == pytest.approx((0.7 + 0.1 + 0.3) / 3)
    assert found["old_fg"] == pytest.approx((0.1 + 0.3) / 2)
    assert found["new"] == pytest.approx((0.2 + 0.6) / 2)
    assert found["harmonic"] == pytest.approx(2 * 0.2 * 0.4 / (0.2 + 0.4))
    assert found["previous"] == pytest.approx((0.1 + 0.3 + 0.2) / 3)
    assert found["forgetting"] == pytest.approx(((0.6 - 0.1) + (0.4 - 0.3) + (0.3 - 0.2)) / 3)
    assert found["avsbench_iou"] == pytest.approx(found["all"] / 2)
    assert found["fscore"] == pytest.approx(found["all"])


def test_the_first_stage_has_no_new_classes_and_averages_skip_it() -> None:
    found = summarise(run(), "skip")
    first, second, third = found["stages"]
    assert [name for name, value in first.items() if value is None] == ["new", "harmonic", "previous", "forgetting"]
    assert first["old"] == first["all"] == pytest.approx(0.6)
    assert found["average"]["all"] == pytest.approx((first["all"] + second["all"] + third["all"]) / 3)
    for name in ("new", "harmonic", "previous", "forgetting"):
        assert found["average"][name] == pytest.approx((second[name] + third[name]) / 2)
    assert second["iou"] == {"background": 0.8, "dog": 0.6, "drum": 0.2, "bird": 0.3}
    assert second["new_classes"] == ["bird"]


def test_an_absent_class_is_left_out_or_counts_0() -> None:
    skipped, zeroed = (summarise(run(last_dog=None), absent) for absent in ("skip", "zero"))
    assert skipped["old_fg"] == pytest.approx(0.3)
    assert zeroed["old_fg"] == pytest.approx(0.15)
    assert skipped["forgetting"] == pytest.approx((0.1 + 0.1) / 2)
    assert zeroed["forgetting"] == pytest.approx((0.6 + 0.1 + 0.1) / 3)
    assert skipped["stages"][2]["iou"]["dog"] is None


def test_nothing_known_of_old_and_new_is_a_harmonic_mean_of_0() -> None:
    found = summarise([scores(0, 2, ("dog",), 0.9, 0.5), scores(1, 3, ("drum",), 0.9, 0.0, 0.0)], "skip")
    assert found["harmonic"] == 0


def test_a_summary_is_plain_json() -> None:
    found = summarise(run(), "zero")
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_the_matrix_is_empty_before_a_class_arrives() -> None:
    records = [
        {"stage": 0, "classes": ["background", "dog"], "iou": [0.9, 0.5]},
        {"stage": 1, "classes": ["background", "dog", "bird"], "iou": [0.8, None, 0.3]},
    ]
    columns, rows = stage_matrix(records, "iou")
    assert columns == ["stage", "background", "dog", "bird"]
    assert rows == [[0, 0.9, 0.5, None], [1, 0.8, None, 0.3]]
