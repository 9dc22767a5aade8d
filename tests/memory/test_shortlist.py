"""Any split of any candidates over any ranks, merged in any order, is the same memory."""

import random
from functools import reduce

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cavs_dist.memory.admission import Admission
from cavs_dist.memory.select import ORDERS, Candidate, Select, quotas
from cavs_dist.memory.shortlist import Shortlist
from cavs_dist.memory.synchronize import hops

CLASSES = ("dog", "bird", "whale")
KEYS = st.text(st.characters(exclude_categories=("C", "Z"), exclude_characters="./\\"), min_size=1, max_size=6)
SCORES = st.sampled_from([-2.0, -0.5, -0.0, 0.0, 0.5, 2.0]) | st.floats(-1e9, 1e9)
CLIPS = st.dictionaries(KEYS, st.tuples(st.sets(st.sampled_from(CLASSES)), SCORES), max_size=30)


def direct(rule: Select, clips: list[Candidate], quota: dict[str, int]) -> dict[str, list[tuple[str, float]]]:
    """Sort all clips of a class at once."""
    ordered = sorted(clips, key=lambda clip: (float(ORDERS[rule](clip.score)), clip.key))
    return {
        name: [(clip.key, clip.score) for clip in ordered if name in clip.classes][:most]
        for name, most in quota.items()
    }


def shortlist(rule: Select, clips: list[Candidate], quota: dict[str, int]) -> Shortlist:
    admission = Admission(rule, quota)
    for clip in clips:
        admission.offer(clip)
    return Shortlist.of(admission, width=24)


def named(held: Shortlist) -> dict[str, list[tuple[str, float]]]:
    return {name: [(clip.key, clip.score) for clip in chosen] for name, chosen in held.chosen(CLASSES).items()}


@given(
    clips=CLIPS, rule=st.sampled_from(sorted(ORDERS)), world=st.integers(1, 8), seed=st.integers(0, 99),
    per_class=st.integers(1, 5), total=st.integers(0, 12),
)  # fmt: skip
@settings(deadline=None, max_examples=300)
def test_any_split_and_order_over_ranks_gives_the_same(
    clips: dict[str, tuple[set[str], float]], rule: Select, world: int, seed: int, per_class: int, total: int
) -> None:
    rng, quota = random.Random(seed), quotas(per_class, total, CLASSES)
    candidates = [Candidate(key, tuple(sorted(classes)), score) for key, (classes, score) in clips.items()]
    parts: list[list[Candidate]] = [[] for _ in range(world)]
    for clip in rng.sample(candidates, len(candidates)):
        parts[rng.randrange(world)].append(clip)
        if rng.random() < 0.2:  # a clip that two ranks have read
            parts[rng.randrange(world)].append(clip)
    alone = [shortlist(rule, part, quota) for part in parts]
    ranks = alone
    for distance in hops(world):
        ranks = [ranks[rank].merged(ranks[rank - distance]) for rank in range(world)]
    expected = direct(rule, candidates, quota)
    assert [named(held) for held in ranks] == [expected] * world
    assert {held.digest() for held in ranks} == {shortlist(rule, candidates, quota).digest()}
    assert named(reduce(Shortlist.merged, rng.sample(alone, world))) == expected


@pytest.mark.parametrize("keys", [["a"], ["ü", "zz", "\U0001f41d", "z"]])
def test_bytes_keep_every_bit(keys: list[str]) -> None:
    held = shortlist("largest", [Candidate(key, ("bird",), 1 / 3 + len(key)) for key in keys], quotas(4, 0, CLASSES))
    empty = shortlist("largest", [], quotas(4, 0, CLASSES))
    back = empty.from_bytes(held.to_bytes())
    assert named(back) == named(held) and back.digest() == held.digest() != empty.digest()
    assert len(held.to_bytes()) == len(empty.to_bytes()) == 3 * 4 * (8 + 24)
