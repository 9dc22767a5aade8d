import numpy as np
import pytest

from cavs_dist.curriculum import CurriculumConfig, Stage, make_stages
from cavs_dist.tasks.base import LabelRole
from cavs_dist.tasks.segmentation.labels import label_table

NAMES = {3: "dog", 7: "cat", 9: "bird", 20: "drum", 200: "never"}
STAGES = make_stages(
    list(NAMES.values()), CurriculumConfig(order=("drum", "cat", "dog", "bird"), split="2-1")
)  # drum, cat | dog | bird
MASK = np.array(
    [[0, 3, 7, 9], [20, 200, 255, 77]], dtype=np.uint8
)  # background dog cat bird / drum never ignored unnamed


@pytest.mark.parametrize(
    ("role", "expected"),
    [
        ("train", [[0, 3, 0, 0], [0, 0, 255, 255]]),
        ("val", [[0, 3, 255, 255], [255, 255, 255, 255]]),
        ("test", [[0, 3, 2, 255], [1, 255, 255, 255]]),
        ("memory", [[0, 3, 2, 255], [1, 255, 255, 255]]),
    ],
)
def test_the_rules_of_every_role_at_the_second_stage(role: LabelRole, expected: list[list[int]]) -> None:
    table = label_table(NAMES, STAGES[1], role)
    assert table.dtype == np.uint8
    assert table.shape == (256,)
    assert table[MASK].tolist() == expected


def test_the_last_stage_tests_every_class_of_the_curriculum_in_its_order() -> None:
    table = label_table(NAMES, STAGES[-1], "test")
    assert [int(table[mask_id]) for mask_id in (20, 7, 3, 9)] == [1, 2, 3, 4]


@pytest.mark.parametrize("role", ["train", "val", "test", "memory"])
def test_labels_of_new_classes_do_not_depend_on_the_role(role: LabelRole) -> None:
    stage = Stage(index=0, new=("cat", "bird"), seen=("cat", "bird"))
    assert label_table(NAMES, stage, role)[[7, 9]].tolist() == [1, 2]
