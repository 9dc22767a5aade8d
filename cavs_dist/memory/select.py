"""Which clips of a class are kept (MSS of CMR, arXiv 2510.17234, and its rivals): the rules, and how many they keep.

A rule is an order of scores. It depends on the clip alone, so ranks, workers and the order of arrival change nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from cavs_dist.randomness import keyed_hash

Select = Literal["none", "consistency", "largest", "smallest", "random", "reservoir", "herding"]


@dataclass(frozen=True)
class Candidate:
    """A clip that may be kept: its key, the names of the classes heard in it, and the score it is judged by."""

    key: str
    classes: tuple[str, ...]
    score: float = 0.0


# A rule keeps the clips whose `order(score)` is smallest; ties go to the key. Orders take a float or an array.
# consistency: smallest |Delta| (MSS). largest, smallest: by Delta. random, reservoir: by a hash that stands for chance.
# herding: by the distance to the class's mean feature.
ORDERS: Mapping[Select, Callable[[Any], Any]] = {
    "consistency": np.abs,
    "largest": np.negative,
    "smallest": np.positive,
    "random": np.positive,
    "reservoir": np.positive,
    "herding": np.positive,
}
# The rules whose score is Delta, which takes two models, and those whose score takes none.
SCORED: tuple[Select, ...] = ("consistency", "largest", "smallest")
DRAWN: tuple[Select, ...] = ("random", "reservoir")


def chance(rule: Select, key: str, seed: int, stage: int) -> float:
    """Return a clip's score, in [0, 1], under a rule that draws: the same on every rank, whatever was drawn before.

    `random` hashes (seed, stage, key). `reservoir` hashes (seed, key): keeping the smallest is what a reservoir over an
    endless stream holds (Efraimidis and Spirakis, 2006, with equal weights).
    """
    parts = (rule, seed, stage, key) if rule == "random" else (rule, seed, key)
    return keyed_hash(*parts) / 2**64


def quotas(per_class: int, total: int, seen: Sequence[str]) -> dict[str, int]:
    """Return how many exemplars each class seen may have: `per_class`, or an even share of `total` unless that is 0.

    What does not divide goes to the earliest classes.
    """
    if not total:
        return dict.fromkeys(seen, per_class)
    share, rest = divmod(total, len(seen))
    return {name: share + (number < rest) for number, name in enumerate(seen)}
