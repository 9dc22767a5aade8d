"""Which clip is in which slot of which update: a function of (seed, stage, position), never of the machine."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from cavs_dist.errors import InputError
from cavs_dist.randomness import generator

Tail = Literal["drop", "wrap"]


@dataclass(frozen=True)
class Slot:
    """One place of an update. clip: index into the stage's clips (into the exemplars if `from_memory`).

    epoch and occurrence, with the clip's key, are what its augmentation depends on. partner: what the clip is mixed
    with, where clips are mixed.
    """

    clip: int
    epoch: int
    occurrence: int
    from_memory: bool = False
    partner: "Slot | None" = None

    @property
    def clips(self) -> "tuple[Slot, ...]":
        """The clip, and its partner if it has one: what is read for the slot."""
        return (self,) if self.partner is None else (self, self.partner)


def epoch_order(shard_sizes: Sequence[int], window: int, *names: int | str) -> list[int]:
    """Return the order of an epoch: shards permuted, clips shuffled within windows of `window` clips.

    Clips are numbered through the shards. A window bounds how far apart in a shard two neighbours of the order can lie.
    """
    rng = generator("order", *names)
    firsts = [sum(shard_sizes[:number]) for number in range(len(shard_sizes))]
    clips = [firsts[shard] + i for shard in rng.permutation(len(shard_sizes)) for i in range(shard_sizes[shard])]
    for start in range(0, len(clips), window):
        part = clips[start : start + window]
        clips[start : start + window] = [part[i] for i in rng.permutation(len(part))]
    return clips


def updates_per_epoch(clips: int, slots: int, tail: Tail) -> int:
    """Return how many updates of `slots` clips an epoch of `clips` clips has, at least one."""
    return max(1, clips // slots if tail == "drop" else -(-clips // slots))


def lane_positions(clips: int, slots: int, tail: Tail, update: int) -> list[tuple[int, int]]:
    """Return, lane by lane, (position in the epoch's order, round) of the clips of the epoch's update number `update`.

    The order is cut into `slots` equal contiguous lanes; update k takes the k-th clip of each. Where the order is too
    short it starts again: that is round 1.
    """
    length = updates_per_epoch(clips, slots, tail)
    return [((lane * length + update) % clips, (lane * length + update) // clips) for lane in range(slots)]


def share_of_rank(slots: Sequence[Slot], rank: int, world: int) -> list[Slot]:
    """Return what `rank` reads: every world-th slot, and its partner."""
    return [clip for slot in slots[rank::world] for clip in slot.clips]


def micro_batches(slots: Sequence[Slot], rank: int, world: int, micro: int) -> tuple[tuple[Slot, ...], ...]:
    """Cut an update into micro-batches of `micro` slots over all ranks, and take the share of `rank` of each."""
    cuts = (slots[start : start + micro] for start in range(0, len(slots), micro))
    return tuple(tuple(share_of_rank(cut, rank, world)) for cut in cuts)


def refuse_uneven(batch: int, memory_slots: int, world: int, micro_batches: int = 1) -> None:
    """Raise InputError where the ranks (and each rank's micro-batches) do not divide an update's slots."""
    if memory_slots >= batch:
        raise InputError(f"optim.batch={batch} leaves no slot for the stage beside {memory_slots} from memory")
    if batch % world:
        raise InputError(
            f"{world} ranks do not divide the {batch} slots of an update: set optim.batch to {_near(batch, world)}"
        )
    if memory_slots % world:
        raise InputError(
            f"{world} ranks do not divide the {memory_slots} memory slots of an update: "
            f"set rehearse.share so that it gives {_near(memory_slots, world)} of {batch} slots, or change optim.batch"
        )
    if batch // world % micro_batches:
        raise InputError(f"{micro_batches} micro-batches do not divide the {batch // world} clips a rank takes")


def _near(slots: int, world: int) -> str:
    """Name the multiples of `world` around `slots`."""
    low = slots - slots % world
    return " or ".join(str(number) for number in (low, low + world) if number)
