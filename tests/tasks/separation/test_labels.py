from collections import Counter
from collections.abc import Mapping
from itertools import combinations
from math import lcm
from pathlib import Path

import pytest

from cavs_dist.curriculum import Stage
from cavs_dist.data.clip import ClipMeta
from cavs_dist.data.shard import ClipEntry
from cavs_dist.data.sources.music import CLASSES
from cavs_dist.tasks.separation.labels import (
    Mixture,
    by_class,
    clean_mixtures,
    mixtures_of_each,
    paper_mixtures,
    positions,
    source_class,
)

STAGE = Stage(index=1, new=("cat", "bird"), seen=("dog", "cow", "cat", "bird"))


def clip(key: str, *classes: str) -> ClipEntry:
    return ClipEntry(key, Path("t-000000.tar"), ClipMeta(classes, 3, (), (8, 8), 8000, 3.0), {})


def solos(**sizes: int) -> dict[str, list[ClipEntry]]:
    return {name: [clip(f"{name}-{number}", name) for number in range(size)] for name, size in sizes.items()}


def keys(mixtures: list[Mixture]) -> list[tuple[str, str]]:
    return [(one.key, other.key) for one, other in mixtures]


def name_of(one: ClipEntry) -> str:
    return one.meta.classes[0]


def between(mixtures: list[Mixture]) -> Mapping[tuple[str, str], list[tuple[str, str]]]:
    """The mixtures of every two classes, in order."""
    found: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for one, other in mixtures:
        found.setdefault((name_of(one), name_of(other)), []).append((one.key, other.key))
    return found


@pytest.mark.parametrize("role", ["train", "val", "test", "memory"])
def test_positions_are_those_of_the_classes_seen_and_new_ones_come_first_while_learned(role: str) -> None:
    found = positions(STAGE, role)  # type: ignore[arg-type]
    assert found == {"dog": 0, "cow": 1, "cat": 2, "bird": 3}
    assert list(found) == (["cat", "bird", "dog", "cow"] if role == "train" else ["dog", "cow", "cat", "bird"])


def test_a_clip_is_a_source_of_the_first_class_known() -> None:
    both = clip("a", "cow", "cat", "whale")
    assert source_class(both, positions(STAGE, "train")) == "cat"
    assert source_class(both, positions(STAGE, "test")) == "cow"
    assert source_class(clip("b", "whale"), positions(STAGE, "test")) is None


def test_clips_are_sorted_by_class_in_the_order_of_positions() -> None:
    clips = [clip("a", "bird"), clip("b", "whale"), clip("c", "dog"), clip("d", "bird", "dog"), clip("e", "bird")]
    found = by_class(clips, positions(STAGE, "test"))
    assert list(found) == ["dog", "cow", "cat", "bird"]
    assert {name: [one.key for one in of_class] for name, of_class in found.items()} == {
        "dog": ["c", "d"],
        "cow": [],
        "cat": [],
        "bird": ["a", "e"],
    }


@pytest.mark.parametrize("each", [1, 3, 10])
def test_a_later_stage_mixes_what_the_earlier_one_did_and_more(each: int) -> None:
    later = solos(dog=5, cow=4, cat=6, bird=3)
    earlier = {name: later[name] for name in ("dog", "cow")}
    before, after = between(clean_mixtures(earlier, each)), between(clean_mixtures(later, each))
    assert all(after[pair] == mixtures for pair, mixtures in before.items())
    assert list(before) == [("dog", "cow")] and set(after) == set(combinations(later, 2))
    assert {len(mixtures) for mixtures in after.values()} == {each}


@pytest.mark.parametrize("first", [1, 2, 3, 4, 5, 6])
@pytest.mark.parametrize("second", [1, 2, 3, 4, 5, 6])
def test_no_mixture_comes_twice_before_all_came_and_each_clip_takes_its_turn(first: int, second: int) -> None:
    [mixtures] = between(clean_mixtures(solos(dog=first, cow=second), first * second)).values()
    assert len(set(mixtures)) == first * second
    for place, size in ((0, first), (1, second)):
        turns = [mixture[place] for mixture in mixtures]
        for start in range(0, lcm(first, second), size):
            assert len(set(turns[start : start + size])) == size
        assert set(Counter(turns).values()) == {first * second // size}


def test_too_few_clips_are_mixed_again() -> None:
    [mixtures] = between(clean_mixtures(solos(dog=2, cow=2), 8)).values()
    assert mixtures[:4] == mixtures[4:] and len(set(mixtures)) == 4


def test_a_class_without_clips_is_mixed_with_none() -> None:
    assert list(between(clean_mixtures(solos(dog=2, cow=0, cat=1), 2))) == [("dog", "cat")]
    assert clean_mixtures(solos(dog=0, cow=0), 2) == clean_mixtures(solos(dog=3), 2) == []


def test_where_a_class_begins_in_the_others_list_depends_on_the_two() -> None:
    mixtures = clean_mixtures(solos(**dict.fromkeys(CLASSES, 5)), 1)
    assert len(mixtures) == 190 and {one.key[-1] for one, _ in mixtures} == {"0"}
    begins = Counter(other.key[-1] for _, other in mixtures)
    assert set(begins) == set("01234") and max(begins.values()) < 2 * min(begins.values())


@pytest.mark.parametrize(("stage", "same_class", "selves"), [(0, 8, 0), (1, 5, 1), (2, 6, 1), (3, 6, 1)])
def test_mixtures_of_the_paper(stage: int, same_class: int, selves: int) -> None:
    """5 test videos a class, 5 classes a stage: 25, 50, 75 and 100 mixtures."""
    clips = solos(**dict.fromkeys(CLASSES[: 5 * (stage + 1)], 5))
    mixtures = paper_mixtures(clips)
    assert [one.key for one, _ in mixtures] == [each.key for of_class in clips.values() for each in of_class]
    assert len(mixtures) == 25 * (stage + 1)
    assert sum(name_of(one) == name_of(other) for one, other in mixtures) == same_class
    assert sum(one.key == other.key for one, other in mixtures) == selves


def test_each_clip_is_mixed_once_with_one_of_another_class() -> None:
    clips = solos(dog=40, cow=30, cat=20)
    mixtures = mixtures_of_each(clips)
    assert [one.key for one, _ in mixtures] == [each.key for of_class in clips.values() for each in of_class]
    assert all(name_of(one) != name_of(other) for one, other in mixtures)
    # A mate is chosen among all clips of other classes alike.
    mates = Counter(name_of(other) for one, other in mixtures if name_of(one) == "dog")
    assert 10 < mates["cow"] < 36 and mates.total() == 40
    assert len({other.key for _, other in mixtures}) > 40


def test_a_mate_is_chosen_by_the_key() -> None:
    clips = solos(dog=6, cow=5)
    fewer = {"dog": clips["dog"][3:], "cow": clips["cow"]}
    mates = dict(keys(mixtures_of_each(clips)))
    assert all(mates[key] == mate for key, mate in keys(mixtures_of_each(fewer)) if key.startswith("dog"))


def test_one_class_alone_is_mixed_within_itself() -> None:
    assert all(one.key != other.key for one, other in mixtures_of_each(solos(dog=5, cow=0)))
    assert keys(mixtures_of_each(solos(dog=1))) == [("dog-0", "dog-0")] and mixtures_of_each(solos(dog=0)) == []
