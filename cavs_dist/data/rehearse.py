"""Mix the stage's clips and the memory's exemplars into updates."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from cavs_dist.data.order import Slot, Tail, epoch_order, lane_positions, updates_per_epoch
from cavs_dist.data.pairing import Pairing, Partners
from cavs_dist.randomness import generator

Rehearse = Literal["ratio", "concat"]
# Update of the stage -> the rehearsal weight of each class that is in force when the update's exemplars are drawn.
Weights = Callable[[int], Mapping[str, float]]


@dataclass(frozen=True)
class RehearseConfig:
    """The section `rehearse`.

    mode: `ratio`, a share of each update's slots comes from memory, or `concat`, an epoch is the stage's clips and the
    exemplars, shuffled. share: of the slots (`ratio`). repeat: how often an epoch has each exemplar (`concat`).
    weight: `collision` adds N_a draws to a class that collides, `uniform` adds none. threshold: of a clip's dominant
    pair, above which it is a collision. count: when collisions are counted: once before a stage, over all its clips
    (`epoch`), or while it trains (`online`, only with `ratio`), when N_a decays. every: updates between two sums of the
    counts over ranks. lag: updates from a sum to the draws that follow it, on every rank. half_life: of N_a, in epochs.
    """

    mode: Rehearse = "ratio"
    share: float = 0.25
    repeat: int = 1
    weight: Literal["uniform", "collision"] = "uniform"
    threshold: float = 0.7
    count: Literal["epoch", "online"] = "epoch"
    every: int = 8
    lag: int = 16
    half_life: float = 1.0


@dataclass(frozen=True)
class Plan:
    """All that decides a stage's order. Sizes only: it needs the index and no clip.

    shard_sizes: the stage's clips in each shard. exemplars: class -> indices of its exemplars (a clip chosen for two
    classes stands under both). extra: class -> N_a, the collisions that its rehearsal weight |M_a| + N_a counts.
    batch: slots of an update. memory_slots: how many of them are drawn from memory (`ratio`). repeat: how often each
    exemplar is in an epoch (`concat`). pairing: how clips are mixed two by two, for which classes are those of the
    stage's clips.
    """

    seed: int
    stage: int
    shard_sizes: tuple[int, ...]
    batch: int
    window: int
    tail: Tail
    mode: Rehearse = "ratio"
    memory_slots: int = 0
    exemplars: Mapping[str, Sequence[int]] = field(default_factory=dict)
    extra: Mapping[str, int] = field(default_factory=dict)
    repeat: int = 1
    pairing: Pairing = "none"
    classes: Sequence[str] = ()

    @property
    def weights(self) -> dict[str, int]:
        """The rehearsal weight of each class that has exemplars, as it is known before the stage."""
        return rehearsal_weights(self.exemplars, self.extra, self.repeat)

    @property
    def memory_share(self) -> float:
        """The share of an epoch's slots that is drawn from memory."""
        if self.mode == "ratio":
            return self.memory_slots / self.batch
        rehearsed = sum(self.weights.values())
        return rehearsed / (rehearsed + sum(self.shard_sizes))

    @property
    def epoch_length(self) -> int:
        """How many updates an epoch has."""
        clips = sum(self.shard_sizes)
        if self.mode == "concat":
            rehearsed = sum(self.weights.values())
            return updates_per_epoch(clips + rehearsed, self.batch, self.tail)
        return updates_per_epoch(clips, self.batch - self.memory_slots, self.tail)


class Rehearsal:
    """The slots of every update of a stage; remembers the order of the epoch it was last asked for.

    weights: in force at each update, where collisions are counted online; else the plan's are.
    """

    def __init__(self, plan: Plan, weights: Weights | None = None) -> None:
        self.plan = plan
        self._weights = weights or (lambda update: plan.weights)
        self._partners = Partners(plan.pairing, plan.classes, plan.exemplars) if plan.pairing != "none" else None
        self._epoch = -1
        self._order: list[Slot] = []

    def update(self, number: int) -> tuple[list[Slot], list[Slot]]:
        """Return the stream slots and the memory slots of the stage's update `number`."""
        plan = self.plan
        epoch, within = divmod(number, plan.epoch_length)
        if epoch != self._epoch:
            self._epoch, self._order = epoch, _epoch_slots(plan, epoch)
        positions = lane_positions(len(self._order), plan.batch - plan.memory_slots, plan.tail, within)
        stream = [_repeat(self._order[position], turn) for position, turn in positions]
        weights = self._weights(number) if plan.exemplars else {}
        drawn = draw(plan, epoch, number, weights) if plan.memory_slots else []
        if self._partners is not None:
            names = (plan.seed, plan.stage, number)
            mixed = self._partners.give([*stream, *drawn], plan.memory_share, weights, plan.batch, *names)
            stream, drawn = mixed[: len(stream)], mixed[len(stream) :]
        return stream, drawn


def rehearsal_weights(
    exemplars: Mapping[str, Sequence[object]], counts: Mapping[str, int], repeat: int = 1
) -> dict[str, int]:
    """Return |M_a| + N_a of each class a that has exemplars (CSR, CMR arXiv 2510.17234), |M_a| `repeat` times."""
    return {name: repeat * len(kept) + counts.get(name, 0) for name, kept in exemplars.items() if kept}


def draw(plan: Plan, epoch: int, update: int, weights: Mapping[str, float]) -> list[Slot]:
    """Draw an update's exemplars (`ratio`): class a as often as its rehearsal weight says, then uniformly in M_a.

    A function of (seed, stage, update, memory, weights).
    """
    if not weights:
        return []
    rng = generator("draw", plan.seed, plan.stage, update)
    names = sorted(weights)
    total = sum(weights[name] for name in names)
    classes = rng.choice(len(names), plan.memory_slots, p=[weights[name] / total for name in names])
    lists = [plan.exemplars[names[number]] for number in classes]
    chosen = [keys[int(rng.integers(len(keys)))] for keys in lists]
    first = update * plan.memory_slots
    return [Slot(clip, epoch, first + place, from_memory=True) for place, clip in enumerate(chosen)]


def _epoch_slots(plan: Plan, epoch: int) -> list[Slot]:
    """The epoch's clips in order; under `concat` with every exemplar and N_a uniform draws of class a strewn in."""
    names = (plan.seed, plan.stage, epoch)
    slots = [Slot(clip, epoch, 0) for clip in epoch_order(plan.shard_sizes, plan.window, *names)]
    if plan.mode == "ratio":
        return slots
    rng = generator("concat", *names)
    lists = {name: keys for name, keys in sorted(plan.exemplars.items()) if keys}
    extras = [clip for keys in lists.values() for clip in keys] * plan.repeat
    for name, keys in lists.items():
        extras += [keys[int(i)] for i in rng.integers(len(keys), size=plan.extra.get(name, 0))]
    rehearsed = [Slot(clip, epoch, i, from_memory=True) for i, clip in enumerate(extras)]
    places = set(rng.choice(len(slots) + len(extras), len(extras), replace=False).tolist())
    stream, memory = iter(slots), iter([rehearsed[i] for i in rng.permutation(len(rehearsed))])
    return [next(memory) if place in places else next(stream) for place in range(len(slots) + len(extras))]


def _repeat(slot: Slot, turn: int) -> Slot:
    """A clip's later occurrence in the same epoch is augmented anew."""
    return slot if turn == 0 else Slot(slot.clip, slot.epoch, slot.occurrence + 1_000_000 * turn, slot.from_memory)
