"""Mix the stage's clips and the memory's exemplars into updates."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from cavs_dist.data.order import Slot, Tail, epoch_order, lane_positions, updates_per_epoch
from cavs_dist.randomness import generator

Rehearse = Literal["ratio", "concat"]


@dataclass(frozen=True)
class RehearseConfig:
    """The section `rehearse`.

    mode: `ratio`, a share of each update's slots comes from memory, or `concat`, an epoch is the stage's clips and the
    exemplars, shuffled. share: of the slots (`ratio`). weight: `collision` adds N_a draws to a class that collides,
    `uniform` adds none. threshold: of a clip's dominant pair, above which it is a collision.
    """

    mode: Rehearse = "ratio"
    share: float = 0.25
    weight: Literal["uniform", "collision"] = "uniform"
    threshold: float = 0.7


@dataclass(frozen=True)
class Plan:
    """All that decides a stage's order. Sizes only: it needs the index and no clip.

    shard_sizes: the stage's clips in each shard. exemplars: class -> indices of its exemplars (a clip chosen for two
    classes stands under both). extra: class -> N_a, the collisions that its rehearsal weight |M_a| + N_a counts.
    batch: slots of an update. memory_slots: how many of them are drawn from memory (`ratio`).
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

    @property
    def weights(self) -> dict[str, int]:
        """Rehearsal weight |M_a| + N_a of each class that has exemplars (CSR, CMR arXiv 2510.17234)."""
        return {name: len(keys) + self.extra.get(name, 0) for name, keys in self.exemplars.items() if keys}

    @property
    def epoch_length(self) -> int:
        """How many updates an epoch has."""
        clips = sum(self.shard_sizes)
        if self.mode == "concat":
            return updates_per_epoch(clips + sum(self.weights.values()), self.batch, self.tail)
        return updates_per_epoch(clips, self.batch - self.memory_slots, self.tail)


class Rehearsal:
    """The slots of every update of a stage; remembers the order of the epoch it was last asked for."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
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
        return stream, draw(plan, epoch, number)


def draw(plan: Plan, epoch: int, update: int) -> list[Slot]:
    """Draw an update's exemplars (`ratio`): class a as often as |M_a| + N_a says, then uniformly in M_a."""
    if not plan.memory_slots or not plan.weights:
        return []
    rng = generator("draw", plan.seed, plan.stage, update)
    names = sorted(plan.weights)
    total = sum(plan.weights.values())
    classes = rng.choice(len(names), plan.memory_slots, p=[plan.weights[name] / total for name in names])
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
    extras = [clip for name in sorted(plan.weights) for clip in plan.exemplars[name]]
    for name in sorted(plan.weights):
        keys = plan.exemplars[name]
        extras += [keys[int(i)] for i in rng.integers(len(keys), size=plan.extra.get(name, 0))]
    rehearsed = [Slot(clip, epoch, i, from_memory=True) for i, clip in enumerate(extras)]
    places = set(rng.choice(len(slots) + len(extras), len(extras), replace=False).tolist())
    stream, memory = iter(slots), iter([rehearsed[i] for i in rng.permutation(len(rehearsed))])
    return [next(memory) if place in places else next(stream) for place in range(len(slots) + len(extras))]


def _repeat(slot: Slot, turn: int) -> Slot:
    """A clip's later occurrence in the same epoch is augmented anew."""
    return slot if turn == 0 else Slot(slot.clip, slot.epoch, slot.occurrence + 1_000_000 * turn, slot.from_memory)
