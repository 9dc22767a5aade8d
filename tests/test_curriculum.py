import pytest
from hypothesis import given
from hypothesis import strategies as st

from cavs_dist.curriculum import CurriculumConfig, in_stage, make_stages
from cavs_dist.errors import InputError

NAMES = ("dog", "bird", "cat", "drum", "piano", "train", "woman", "guitar")


def test_alphabetical_four_two() -> None:
    stages = make_stages(NAMES, CurriculumConfig(split="4-2"))
    assert [stage.new for stage in stages] == [("bird", "cat", "dog", "drum"), ("guitar", "piano"), ("train", "woman")]
    last = stages[2]
    assert last.seen == tuple(sorted(NAMES))
    assert last.old == last.seen[:6]
    assert (last.index, last.num_old, last.num_labels) == (2, 6, 9)


def test_dots_stand_for_the_rest() -> None:
    stages = make_stages(NAMES, CurriculumConfig(order=("woman", "...", "cat", "bird"), split="6-1"))
    assert stages[0].new == ("woman", "dog", "drum", "guitar", "piano", "train")
    assert [stage.new for stage in stages[1:]] == [("cat",), ("bird",)]


def test_a_list_without_dots_leaves_the_rest_unlearned() -> None:
    (stage,) = make_stages(NAMES, CurriculumConfig(order=("woman", "cat"), split="2"))
    assert stage.seen == ("woman", "cat")


def test_a_seed_orders_all_classes_however_they_are_listed() -> None:
    def order(names: tuple[str, ...], seed: int) -> tuple[str, ...]:
        return make_stages(names, CurriculumConfig(order=("seed",), order_seed=seed, split="8"))[0].seen

    assert sorted(order(NAMES, 0)) == sorted(NAMES)
    assert order(NAMES, 0) == order(NAMES[::-1], 0)
    assert order(NAMES, 0) != order(NAMES, 1)


@pytest.mark.parametrize(
    ("order", "split", "words"),
    [
        (("cat", "...", "cat"), "7-1", "cat more than once"),
        (("...", "..."), "8", "more than once"),
        (("cat", "cow"), "1-1", "names cow, but"),
        ((), "1", "order is empty"),
        (("alphabetical",), "5-2", "8 classes: 5-1, 5-3 would"),
        (("alphabetical",), "9", "9 does not come out even with 8 classes: 8 would"),
        (("alphabetical",), "6", "6-1, 6-2 would"),
        (("alphabetical",), "4-0", "expected X"),
        (("alphabetical",), "4:2", "expected X"),
    ],
)
def test_what_cannot_be_is_said(order: tuple[str, ...], split: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        make_stages(NAMES, CurriculumConfig(order=order, split=split))


def test_who_belongs_to_which_stage() -> None:
    stages = make_stages(NAMES, CurriculumConfig(split="4-2"))
    clip = ("dog", "woman")  # of stages 0 and 2
    assert [in_stage(clip, stages, index, "overlapped") for index in range(3)] == [True, False, True]
    assert [in_stage(clip, stages, index, "disjoint") for index in range(3)] == [False, False, True]
    assert not any(in_stage(classes, stages, 0, "overlapped") for classes in ((), ("off-the-screen",)))


@given(st.sets(st.sampled_from([*NAMES, "a class never learned"])))
def test_disjoint_gives_a_clip_to_the_stage_of_its_latest_class_alone(classes: set[str]) -> None:
    stages = make_stages(NAMES, CurriculumConfig(order=("...", "woman"), split="3-1"))
    overlapped = [stage.index for stage in stages if in_stage(classes, stages, stage.index, "overlapped")]
    disjoint = [stage.index for stage in stages if in_stage(classes, stages, stage.index, "disjoint")]
    assert overlapped == [stage.index for stage in stages if classes & set(stage.new)]
    assert disjoint == overlapped[-1:]
