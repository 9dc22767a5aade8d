"""Collisions counted while a stage trains: CSR `online` (CMR, arXiv 2510.17234, section 4), the same on any ranks."""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from cavs_dist import distributed
from cavs_dist.curriculum import Stage
from cavs_dist.memory.rehearsal import Pairs, find_collisions, name_pairs
from cavs_dist.outputs.segmentation import Batch
from cavs_kernels.head import Head


@dataclass(frozen=True)
class Summed:
    """What all ranks together counted in the updates before `update`, on the CPU.

    counts: [K] float64, N_a by label. weights: [K] float64, the rehearsal weights |M_a| + N_a, 0 without exemplars.
    pairs: [K, K] int64, how often (old, new) collided, in all.
    """

    update: int
    counts: Tensor
    weights: Tensor
    pairs: Tensor


class OnlineCounts:
    """N_a(u) = beta N_a(u - 1) + the collisions with old class a of update u's new-class clips.

    Each update adds integers on the device. Every `every` updates they are summed over ranks, while training goes on,
    and there beta is applied to the sums, update by update, in float64: no rounding depends on the number of ranks. The
    rehearsal weights are formed there too, and sent to the host with N_a, where exemplars are drawn. A sum begun when
    update u is the next one is in force from update u + `lag` on, on every rank.

    weights: the rehearsal weight of each old class that has exemplars, before anything has collided.
    """

    def __init__(
        self, stage: Stage, weights: Mapping[str, float], threshold: float, beta: float, every: int, lag: int
    ) -> None:
        self.stage, self.threshold, self.beta, self.every, self.lag = stage, threshold, beta, every, lag
        labels, device = stage.num_labels, distributed.device()
        self._rehearsed = tuple(weights)
        exemplars = [float(weights.get(name, 0)) for name in ("background", *stage.seen)]
        self._exemplars = torch.tensor(exemplars, dtype=torch.float64, device=device)
        self._recent = torch.zeros(every, labels, dtype=torch.int64, device=device)
        self._pairs = torch.zeros(labels, labels, dtype=torch.int64, device=device)
        self._known = [self._weighed(0, torch.zeros_like(self._exemplars), torch.zeros_like(self._pairs))]
        self._pending: deque[tuple[int, Callable[[], Tensor]]] = deque()

    def add(self, old: Head | Tensor, batch: Batch, update: int) -> None:
        """Count a micro-batch of `update`; `old` is the old model's head, or its argmax map [N, H, W]."""
        found = find_collisions(old, batch, self.stage, self.threshold)
        recorded = (found.recorded & ~batch.from_memory).long()
        self._recent[update % self.every].index_add_(0, found.old, recorded)
        self._pairs.index_put_((found.old, found.new), recorded, accumulate=True)

    def close(self, update: int) -> None:
        """End `update`: begin a sum over ranks if one is due, forget those that no draw can use. Collective."""
        last = self._summed(update).update
        self._known = [one for one in self._known if one.update >= last]
        if (update + 1) % self.every == 0:
            self._pending.append((update + 1, distributed.start_sum(self._parts())))
            self._recent.zero_()
            self._pairs.zero_()

    def in_force(self, update: int) -> dict[str, float]:
        """Return N_a of each old class, as the draws of `update` use it; waits for its sum if need be."""
        counts = self._summed(update).counts[1 : 1 + self.stage.num_old]
        return dict(zip(self.stage.old, counts.tolist(), strict=True))

    def weights_in_force(self, update: int) -> dict[str, float]:
        """Return the rehearsal weight of each class that has exemplars, as `in_force` returns N_a."""
        weights = self._summed(update).weights.tolist()
        return {name: weights[1 + self.stage.seen.index(name)] for name in self._rehearsed}

    def pairs_in_force(self, update: int) -> Pairs:
        """Return how often each (old class, new class) collided in this stage, of the updates that `in_force` knows."""
        return name_pairs(self.stage, self._summed(update).pairs.tolist())

    def state(self, done: int) -> dict[str, Any]:
        """Return what is needed to go on after `done` updates, as plain values, on any number of ranks. Collective."""
        last = self._summed(done).update
        while self._pending:
            self._settle()
        recent, pairs = self._split(distributed.sum_over_ranks(self._parts()).cpu())
        known = [
            {"update": one.update, "counts": one.counts.tolist(), "pairs": _entries(one.pairs)}
            for one in self._known
            if one.update >= last
        ]
        return {"known": known, "recent": recent.tolist(), "pairs": _entries(pairs)}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` returned."""
        self._known = [
            self._weighed(one["update"], self._exemplars.new_tensor(one["counts"]), self._table(one["pairs"]))
            for one in state["known"]
        ]
        if distributed.is_first():  # else what was summed would count once for every rank
            self._recent.copy_(torch.tensor(state["recent"]))
            self._pairs.copy_(self._table(state["pairs"]))

    def _summed(self, update: int) -> Summed:
        while self._pending and self._pending[0][0] <= update - self.lag:
            self._settle()
        return next(one for one in reversed(self._known) if one.update <= max(update - self.lag, 0))

    def _settle(self) -> None:
        update, wait = self._pending.popleft()
        recent, pairs = self._split(wait())
        counts = self._known[-1].counts.to(recent.device)
        for collided in recent:
            counts = self.beta * counts + collided
        self._known.append(self._weighed(update, counts, self._known[-1].pairs.to(pairs.device) + pairs))

    def _weighed(self, update: int, counts: Tensor, pairs: Tensor) -> Summed:
        weights = torch.where(self._exemplars > 0, self._exemplars + counts, 0.0)
        counts, weights = torch.stack((counts, weights)).cpu()  # sent at once
        return Summed(update, counts, weights, pairs.cpu())

    def _parts(self) -> Tensor:
        return torch.cat((self._recent, self._pairs))

    def _split(self, parts: Tensor) -> tuple[Tensor, Tensor]:
        return parts[: self.every], parts[self.every :]

    def _table(self, entries: list[list[int]]) -> Tensor:
        table = torch.zeros_like(self._pairs).cpu()
        for old, new, count in entries:
            table[old, new] = count
        return table


def _entries(table: Tensor) -> list[list[int]]:
    """Return the entries of a table that are not 0, each with its place."""
    return [[int(old), int(new), int(table[old, new])] for old, new in table.nonzero()]
