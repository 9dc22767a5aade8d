"""Which clips of a class are kept (MSS of CMR, arXiv 2510.17234, and its rivals): one pure function each.

Every rule is a sort by a key of the clip itself, so ranks, workers and the order of arrival change nothing.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from cavs_dist.randomness import keyed_hash

Select = Literal["none", "consistency", "largest", "smallest", "random", "reservoir", "herding"]


@dataclass(frozen=True)
class Candidate:
    """A clip that may be kept: its key, the names of the classes heard in it, and its score (0 if unscored)."""

    key: str
    classes: tuple[str, ...]
    score: float = 0.0


SortKey = Callable[[Candidate, int, int], float]

SELECTORS: Mapping[Select, SortKey] = {
    "consistency": lambda clip, seed, stage: abs(clip.score),
    "largest": lambda clip, seed, stage: -clip.score,
    "smallest": lambda clip, seed, stage: clip.score,
    "random": lambda clip, seed, stage: keyed_hash("random", seed, stage, clip.key),
    "reservoir": lambda clip, seed, stage: keyed_hash("reservoir", seed, clip.key),
    "herding": lambda clip, seed, stage: clip.score,
}
# The rules whose score is Delta, which takes two models.
SCORED: tuple[Select, ...] = ("consistency", "largest", "smallest")


def select(
    rule: Select, candidates: Iterable[Candidate], classes: Sequence[str], per_class: int, seed: int, stage: int
) -> dict[str, tuple[Candidate, ...]]:
    """Keep for each class the `per_class` clips in which it is heard that come first by the rule; ties go to the key.

    consistency: smallest |Delta| (MSS). largest, smallest: by Delta. random: smallest hash of (seed, stage, key).
    reservoir: smallest hash of (seed, key), what a reservoir over an endless stream holds. herding: smallest score, the
    distance to the class's mean feature, so each class has candidates of its own.
    A class heard in no candidate gets none.
    """
    if rule == "none":
        return {}
    rank = SELECTORS[rule]
    ordered = sorted(candidates, key=lambda clip: (rank(clip, seed, stage), clip.key))
    return {name: tuple(clip for clip in ordered if name in clip.classes)[:per_class] for name in classes}
