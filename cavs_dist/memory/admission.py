"""Admission to the memory, clip by clip, as a rank sees them: what can still be chosen is kept, the rest forgotten."""

import math
from bisect import bisect_left
from collections.abc import Mapping
from typing import NamedTuple

from cavs_dist.errors import InputError
from cavs_dist.memory.select import ORDERS, Candidate, Select


class Standing(NamedTuple):
    """A candidate's place in a class's list: by the rule's order of its score, then by key."""

    order: float
    key: str
    score: float


class Admission:
    """The clips of each class that can still be chosen, of those seen so far: at most `quotas[class]`.

    Clips may come in any order and more than once. A clip has one score for a class.
    """

    def __init__(self, rule: Select, quotas: Mapping[str, int]) -> None:
        self.rule, self.quotas = rule, dict(quotas)
        self.places: dict[str, list[Standing]] = {name: [] for name in quotas}

    def offer(self, clip: Candidate) -> None:
        """Take a candidate for every class heard in it that has a quota. Raises InputError if its score is NaN."""
        if math.isnan(clip.score):
            raise InputError(f"clip {clip.key!r} has a score that is no number: was its model trained to NaN?")
        place = Standing(float(ORDERS[self.rule](clip.score)), clip.key, clip.score)
        for name in clip.classes:
            if name in self.places:
                self._insert(self.places[name], place, self.quotas[name])

    @staticmethod
    def _insert(places: list[Standing], place: Standing, quota: int) -> None:
        at = bisect_left(places, place)
        if places[at : at + 1] != [place]:
            places.insert(at, place)
            del places[quota:]
