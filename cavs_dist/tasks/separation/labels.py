"""Which class a clip's source is of, and which clips are mixed where nothing is drawn.

Separation is conditioned on the label (ContAV-Sep, arXiv 2411.02860): a source's class chooses its query.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from math import lcm
from typing import Literal

from cavs_dist.curriculum import Stage
from cavs_dist.data.pairs import paper_pairs
from cavs_dist.data.shard import ClipEntry
from cavs_dist.randomness import keyed_hash
from cavs_dist.tasks.base import LabelRole

Pairs = Literal["clean", "paper"]
Mixture = tuple[ClipEntry, ClipEntry]


def positions(stage: Stage, role: LabelRole) -> dict[str, int]:
    """Return the position of each class that a clip may be a source of: first come first, from 0.

    While a stage's own clips are learned, its new classes come before the old ones that sound in them too.
    """
    position = {name: number for number, name in enumerate(stage.seen)}
    return {name: position[name] for name in (*stage.new, *stage.old)} if role == "train" else position


def source_class(clip: ClipEntry, known: Mapping[str, int]) -> str | None:
    """Return the class that a clip is a source of: the first of `known` that sounds in it, None if none does."""
    return next((name for name in known if name in clip.meta.classes), None)


def by_class(clips: Sequence[ClipEntry], known: Mapping[str, int]) -> dict[str, list[ClipEntry]]:
    """Sort the clips by the class that they are a source of; others are left out."""
    sorted_clips: dict[str, list[ClipEntry]] = {name: [] for name in known}
    for clip in clips:
        name = source_class(clip, known)
        if name is not None:
            sorted_clips[name].append(clip)
    return sorted_clips


def clean_mixtures(clips: Mapping[str, Sequence[ClipEntry]], each: int) -> list[Mixture]:
    """Mix `each` pairs of clips of every two classes: a list that a later stage only adds to.

    Every clip of a class takes its turn, and no two are mixed again before each of one class was with each of the
    other; where in the other's list a class begins depends on the two names.
    """
    mixtures = []
    for one, other in combinations(clips, 2):
        first = keyed_hash("mixture", one, other) % max(len(clips[other]), 1)
        for number in range(each if clips[one] and clips[other] else 0):
            turn = number // lcm(len(clips[one]), len(clips[other]))
            mate = clips[other][(first + number + turn) % len(clips[other])]
            mixtures.append((clips[one][number % len(clips[one])], mate))
    return mixtures


def paper_mixtures(clips: Mapping[str, Sequence[ClipEntry]]) -> list[Mixture]:
    """Mix each clip, class by class, as the paper does: some with one of their own class, or with themselves."""
    every = [clip for of_class in clips.values() for clip in of_class]
    return [(every[one], every[other]) for one, other in paper_pairs(len(every))]


def mixtures_of_each(clips: Mapping[str, Sequence[ClipEntry]]) -> list[Mixture]:
    """Mix each clip with one of another class, chosen by its key; with any other where there is one class alone."""
    mixtures = []
    for name, of_class in clips.items():
        others = [clip for other, of_other in clips.items() if other != name for clip in of_other]
        for clip in of_class:
            mates = others or [mate for mate in of_class if mate.key != clip.key] or of_class
            mixtures.append((clip, mates[keyed_hash("mate", clip.key) % len(mates)]))
    return mixtures
