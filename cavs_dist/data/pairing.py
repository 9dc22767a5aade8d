"""Which clip each slot's clip is mixed with, where a task mixes clips: a function of (seed, stage, update) too."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Literal, NamedTuple

import numpy as np

from cavs_dist.data.order import Slot
from cavs_dist.errors import InputError
from cavs_dist.randomness import generator

Pairing = Literal["none", "different_class", "any"]


class Group(NamedTuple):
    """Clips of one class that are drawn alike. weight: of all of them together. clips: indices."""

    name: str
    from_memory: bool
    weight: float
    clips: Sequence[int]


def refuse_one_class(pairing: Pairing, names: Collection[str]) -> None:
    """Raise InputError where `names`, the classes of all clips, leave none to mix with."""
    if pairing == "different_class" and len(names) < 2:
        raise InputError(
            f"all clips are of class {', '.join(names)}: there is nothing to mix them with under "
            "data.mix.pairing=different_class; give a stage two classes, or set data.mix.pairing=any"
        )


class Partners:
    """Draws partners. Clips are drawn as often as the order has them: from memory at the rate of `share`, there a class
    by its rehearsal weight; else uniformly among the stage's.

    classes: of each clip of the stage. exemplars: class -> indices of its exemplars; one that stands under two classes
    is a source of the first.
    """

    def __init__(self, pairing: Pairing, classes: Sequence[str], exemplars: Mapping[str, Sequence[int]]) -> None:
        self.pairing, self.classes, self.exemplars = pairing, classes, exemplars
        self._of_class = _by_class(range(len(classes)), classes.__getitem__)
        self._class_of_exemplar = {clip: name for name, clips in reversed([*exemplars.items()]) for clip in clips}
        self._kept = {name: _by_class(clips, self._class_of_exemplar.__getitem__) for name, clips in exemplars.items()}
        refuse_one_class(pairing, {*classes, *self._class_of_exemplar.values()})

    def give(
        self, slots: Sequence[Slot], share: float, weights: Mapping[str, float], batch: int, *names: int | str
    ) -> list[Slot]:
        """Return the slots of the update `names` (seed, stage, update) with partners. batch: slots of an update."""
        rng = generator("partner", *names)
        groups = self._groups(share, weights)
        first = -1 - int(names[-1]) * batch  # below 0, where no slot of the order has its occurrences
        return [replace(slot, partner=self._draw(groups, slot, first - place, rng)) for place, slot in enumerate(slots)]

    def _groups(self, share: float, weights: Mapping[str, float]) -> list[Group]:
        total = sum(weights.values())
        share = share if total else 0.0
        stage = [
            Group(name, False, (1 - share) * len(clips) / len(self.classes), clips)
            for name, clips in sorted(self._of_class.items())
        ]
        memory = [
            Group(own, True, share * weight / total * len(clips) / len(self.exemplars[name]), clips)
            for name, weight in sorted(weights.items())
            for own, clips in self._kept[name].items()
        ]
        return [*stage, *memory]

    def _draw(self, groups: Sequence[Group], slot: Slot, occurrence: int, rng: np.random.Generator) -> Slot:
        own = self._class_of_exemplar[slot.clip] if slot.from_memory else self.classes[slot.clip]
        others = [group for group in groups if group.name != own or self.pairing == "any"]
        weights = np.array([group.weight for group in others])
        if not weights.sum():  # what differs is in the memory alone, which the order does not draw from
            weights = np.ones(len(others))
        group = others[rng.choice(len(others), p=weights / weights.sum())]
        clip = group.clips[int(rng.integers(len(group.clips)))]
        return Slot(clip, slot.epoch, occurrence, group.from_memory)


def _by_class(clips: Iterable[int], class_of: Callable[[int], str]) -> dict[str, list[int]]:
    of_class: dict[str, list[int]] = {}
    for clip in clips:
        of_class.setdefault(class_of(clip), []).append(clip)
    return of_class
