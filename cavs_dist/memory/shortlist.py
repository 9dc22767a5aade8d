"""What ranks send each other to agree on a memory: each class's best candidates as two plain arrays, and their merge.

The merge is a top-k of a union, so it is commutative, associative and idempotent: ranks may merge in any order, and
what they have merged already, again.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cavs_dist.memory.admission import Admission
from cavs_dist.memory.select import ORDERS, Candidate, Select


@dataclass(frozen=True)
class Shortlist:
    """The best candidates of C classes, in K places for each: best first, empty places last.

    K is the largest quota, at least 1. quotas: [C] int64, how many places of a class may be filled. scores: [C, K]
    float64. keys: [C, K] UTF-8 text (which sorts as the text does) of L bytes, padded with zeros; empty where the
    place is.
    """

    rule: Select
    quotas: NDArray[np.int64]
    scores: NDArray[np.float64]
    keys: NDArray[np.bytes_]

    @classmethod
    def of(cls, admission: Admission, width: int) -> "Shortlist":
        """Lay out an admission's candidates with keys of L = `width` bytes."""
        quotas = np.array(list(admission.quotas.values()), np.int64)
        shape = len(quotas), int(quotas.max(initial=1))
        scores, keys = np.zeros(shape), np.zeros(shape, f"S{width}")
        for row, places in enumerate(admission.places.values()):
            scores[row, : len(places)] = [place.score for place in places]
            keys[row, : len(places)] = [place.key.encode() for place in places]
        return cls(admission.rule, quotas, scores, keys)

    def merged(self, other: "Shortlist") -> "Shortlist":
        """Return the best of both, each candidate once."""
        scores = np.concatenate((self.scores, other.scores), axis=1)
        keys = np.concatenate((self.keys, other.keys), axis=1)
        order = np.where(keys == b"", np.inf, ORDERS[self.rule](scores))
        scores, keys = _taken(scores, keys, np.lexsort((keys, order), axis=1))
        # A candidate that both hold stands twice in a row; its second place goes to the end, with the empty ones.
        spare = keys == b""
        spare[:, 1:] |= keys[:, 1:] == keys[:, :-1]
        scores, keys = _taken(scores, keys, np.argsort(spare, axis=1, kind="stable")[:, : self.keys.shape[1]])
        filled = np.arange(keys.shape[1]) < np.minimum(self.quotas, (~spare).sum(axis=1))[:, None]
        return Shortlist(self.rule, self.quotas, np.where(filled, scores, 0.0), np.where(filled, keys, b""))

    def to_bytes(self) -> bytes:
        """Return scores and keys as bytes: as many on every rank for the same quotas and width."""
        return self.scores.tobytes() + self.keys.tobytes()

    def from_bytes(self, data: bytes) -> "Shortlist":
        """Return the shortlist, of the same quotas and width as this one, that `to_bytes` gave."""
        scores = np.frombuffer(data, np.float64, self.scores.size).reshape(self.scores.shape)
        keys = np.frombuffer(data, self.keys.dtype, offset=scores.nbytes).reshape(self.keys.shape)
        return Shortlist(self.rule, self.quotas, scores, keys)

    def digest(self) -> bytes:
        """Return the SHA-256 of scores and keys."""
        return hashlib.sha256(self.to_bytes()).digest()

    def chosen(self, names: Sequence[str]) -> dict[str, tuple[Candidate, ...]]:
        """Return each class's candidates, best first; `names` are the C classes."""
        return {
            name: tuple(Candidate(key.decode(), (name,), score) for score, key in zip(scores, keys, strict=True) if key)
            for name, scores, keys in zip(names, self.scores.tolist(), self.keys.tolist(), strict=True)
        }


def _taken(
    scores: NDArray[np.float64], keys: NDArray[np.bytes_], places: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.bytes_]]:
    return np.take_along_axis(scores, places, axis=1), np.take_along_axis(keys, places, axis=1)
