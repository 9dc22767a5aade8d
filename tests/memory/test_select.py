import random

import pytest

from cavs_dist.memory.select import SCORED, SELECTORS, Candidate, select
from cavs_dist.randomness import keyed_hash

CLIPS = [
    Candidate("a", ("dog",), 0.5),
    Candidate("b", ("dog", "bird"), -0.1),
    Candidate("c", ("bird",), 0.1),
    Candidate("d", ("bird", "train"), -2.0),
    Candidate("e", ("dog",), 0.5),
]


@pytest.mark.parametrize(
    ("rule", "dog", "bird"),
    [("consistency", "ba", "bc"), ("largest", "ae", "cb"), ("smallest", "ba", "db")],
)
def test_the_rules(rule: str, dog: str, bird: str) -> None:
    """|Delta| of b and c are equal, so are the scores of a and e: the key decides."""
    chosen = select(rule, CLIPS, ("dog", "bird", "whale"), 2, seed=0, stage=0)  # type: ignore[arg-type]
    assert {name: "".join(clip.key for clip in clips) for name, clips in chosen.items()} == {
        "dog": dog,
        "bird": bird,
        "whale": "",
    }


def test_random_is_the_smallest_hash_of_seed_stage_and_key() -> None:
    clips = [Candidate(f"clip{number}", ("dog",)) for number in range(50)]
    chosen = select("random", clips, ("dog",), 5, seed=3, stage=1)["dog"]
    assert [clip.key for clip in chosen] == sorted(
        (clip.key for clip in clips), key=lambda key: keyed_hash("random", 3, 1, key)
    )[:5]
    assert chosen != select("random", clips, ("dog",), 5, seed=4, stage=1)["dog"]
    assert chosen != select("random", clips, ("dog",), 5, seed=3, stage=2)["dog"]


@pytest.mark.parametrize("rule", list(SELECTORS))
def test_the_order_of_arrival_changes_nothing(rule: str) -> None:
    shuffled = CLIPS.copy()
    random.Random(1).shuffle(shuffled)
    assert shuffled != CLIPS
    classes = ("dog", "bird", "train")
    expected = select(rule, CLIPS, classes, 2, 7, 2)  # type: ignore[arg-type]
    assert select(rule, iter(shuffled), classes, 2, 7, 2) == expected  # type: ignore[arg-type]


def test_fewer_clips_than_asked_for_are_all_kept() -> None:
    assert len(select("smallest", CLIPS, ("train",), 9, 0, 0)["train"]) == 1


def test_none_keeps_nothing_and_scores_are_asked_for_where_they_count() -> None:
    assert select("none", CLIPS, ("dog",), 2, 0, 0) == {}
    assert SCORED == ("consistency", "largest", "smallest")


def test_a_reservoir_does_not_know_the_stage() -> None:
    clips = [Candidate(f"clip{number}", ("dog",)) for number in range(50)]
    chosen = select("reservoir", clips, ("dog",), 5, seed=3, stage=1)["dog"]
    assert chosen == select("reservoir", clips, ("dog",), 5, seed=3, stage=2)["dog"]
    assert chosen != select("reservoir", clips, ("dog",), 5, seed=4, stage=1)["dog"]
    assert chosen != select("random", clips, ("dog",), 5, seed=3, stage=1)["dog"]
