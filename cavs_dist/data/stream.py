"""Read the clips of a stage: updates for training, each clip once for evaluation."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any

from torch.utils.data import DataLoader, Dataset

from cavs_dist.data.cache import CachedReader
from cavs_dist.data.config import DataConfig
from cavs_dist.data.order import Slot, micro_batches, share_of_rank
from cavs_dist.data.rehearse import Plan, Rehearsal, Weights
from cavs_dist.data.shard import BytesReader, ClipEntry, CorruptClip, ShardReader
from cavs_dist.data.transform import Transform
from cavs_dist.errors import InputError
from cavs_dist.outputs import Batch
from cavs_dist.randomness import generator
from cavs_dist.stop import outlive_a_stop

# Updates (or batches) that a worker makes ahead of the one that is used.
AHEAD = 4


@dataclass(frozen=True)
class StageClips:
    """What a rank reads in a stage. clips, exemplars: what the slots of `plan` number. *_transform: what is made of
    them; that of the clips collates both.

    cache: bytes of exemplars that the rank's workers together hold in RAM. deliver: brings the bytes of exemplars that
    are drawn, where workers cannot read them: given the exemplars that each rank draws, those of this one. Collective.
    """

    plan: Plan
    clips: Sequence[ClipEntry]
    exemplars: Sequence[ClipEntry]
    clips_transform: Transform
    exemplars_transform: Transform
    config: DataConfig
    cache: int = 0
    deliver: Callable[[Sequence[Sequence[int]]], Mapping[int, bytes]] | None = None


@dataclass(frozen=True)
class Order:
    """What one rank is to read for one update: the slots of each of its micro-batches.

    delivered: the bytes of its exemplars, where they cannot be read.
    """

    number: int
    micro_batches: tuple[tuple[Slot, ...], ...]
    delivered: Mapping[int, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Update:
    """What one rank takes in one update: its micro-batches, and the keys of the clips that it had to skip."""

    number: int
    batches: tuple[Batch, ...]
    skipped: tuple[str, ...]


@dataclass(frozen=True)
class Failure:
    """An InputError on its way out of a worker process."""

    message: str


def training_updates(
    data: StageClips, first: int, last: int, rank: int, world: int, micro: int, weights: Weights | None = None
) -> Iterator[Update]:
    """Yield the rank's part of updates `first` ... `last` - 1, each in micro-batches of `micro` clips over all ranks.

    What is in an update is decided here, AHEAD updates a worker before it is yielded, which is when `weights` is asked;
    the workers, who take the updates in turn, read and decode. Their number changes nothing.
    """
    rehearsal = Rehearsal(data.plan, weights)
    orders = (_order(data, rehearsal, number, rank, world, micro) for number in range(first, last))
    workers = data.config.workers
    dataset = _TrainingDataset(replace(data, deliver=None), data.cache // max(workers, 1))
    lost: set[str] = set()
    for update in _results(DataLoader(dataset, sampler=orders, **_loading(workers))):
        lost.update(update.skipped)
        _refuse_too_many(lost, data.config)
        yield update


def _order(data: StageClips, rehearsal: Rehearsal, number: int, rank: int, world: int, micro: int) -> Order:
    stream, memory = rehearsal.update(number)
    slots = [*stream, *memory]
    mine = micro_batches(slots, rank, world, micro)
    if data.deliver is None:
        return Order(number, mine)
    drawn = [[clip.clip for clip in share_of_rank(slots, each, world) if clip.from_memory] for each in range(world)]
    return Order(number, mine, data.deliver(drawn))


def evaluation_batches(
    clips: Sequence[ClipEntry], transform: Transform, config: DataConfig, rank: int, world: int, batch: int
) -> Iterator[Batch]:
    """Yield the rank's batches of `batch` clips, each clip once, whole and unaugmented.

    The clips are cut into batches first and these are dealt to the ranks: which clips share a batch, and with it the
    rounding of what a model says of them, does not depend on the number of ranks.
    """
    lost: set[str] = set()
    starts = range(rank * batch, len(clips), world * batch)
    dataset = _EvaluationDataset([clips[start : start + batch] for start in starts], transform, config)
    for made, skipped in _results(DataLoader(dataset, **_loading(config.workers))):
        lost.update(skipped)
        _refuse_too_many(lost, config)
        if made is not None:
            yield made


def _loading(workers: int) -> dict[str, Any]:
    ahead = AHEAD if workers else None
    return {"batch_size": None, "num_workers": workers, "prefetch_factor": ahead, "worker_init_fn": outlive_a_stop}


def _results(loader: Iterable[Any]) -> Iterator[Any]:
    for item in loader:
        if isinstance(item, Failure):
            raise InputError(item.message)
        yield item


def _refuse_too_many(lost: set[str], config: DataConfig) -> None:
    if len(lost) > config.corrupt_budget:
        raise InputError(
            f"{len(lost)} clips cannot be read, more than data.corrupt_budget={config.corrupt_budget}: "
            f"{', '.join(sorted(lost)[:10])}; run `cavs-dist data check` on {config.path}"
        )


class _TrainingDataset(Dataset[Update | Failure]):
    """Makes what it is ordered; each worker process has its own readers, opened when it is first asked."""

    def __init__(self, data: StageClips, cache: int) -> None:
        self.data, self.cache = data, cache
        self._readers: tuple[ShardReader, CachedReader] | None = None

    def __getitem__(self, order: Order) -> Update | Failure:
        skipped: list[str] = []
        try:
            samples = [[self._sample(order, slot, skipped) for slot in part] for part in order.micro_batches]
        except InputError as error:
            return Failure(str(error))
        batches = tuple(self.data.clips_transform.collate(part) for part in samples)
        return Update(order.number, batches, tuple(skipped))

    def _sample(self, order: Order, slot: Slot, skipped: list[str]) -> Any:
        """Make the slot's sample; a clip that cannot be read is skipped, if the policy says so, for its neighbour."""
        data = self.data
        source = data.exemplars if slot.from_memory else data.clips
        for step in range(len(source)):
            entry = source[(slot.clip + step) % len(source)]
            try:
                return self._augmented(self._reader(order, slot), entry, slot)
            except CorruptClip as error:
                if data.config.on_corrupt == "error":
                    raise
                skipped.append(error.key)
                _refuse_too_many(set(skipped), data.config)
        raise InputError(f"none of the {len(source)} clips can be read: run `cavs-dist data check`")

    def _augmented(self, reader: ShardReader, entry: ClipEntry, slot: Slot) -> Any:
        data = self.data
        rng = generator("augment", data.plan.seed, data.plan.stage, slot.epoch, entry.key, slot.occurrence)
        transform = data.exemplars_transform if slot.from_memory else data.clips_transform
        return transform.training(reader, entry, rng, slot.from_memory)

    def _reader(self, order: Order, slot: Slot) -> ShardReader:
        if slot.from_memory and slot.clip in order.delivered:
            return BytesReader(order.delivered[slot.clip])
        if self._readers is None:
            self._readers = ShardReader(), CachedReader(self.cache)
        return self._readers[slot.from_memory]


_Made = tuple[Batch | None, list[str]]


class _EvaluationDataset(Dataset[_Made | Failure]):
    def __init__(self, batches: Sequence[Sequence[ClipEntry]], transform: Transform, config: DataConfig) -> None:
        self.batches, self.transform, self.config = batches, transform, config

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, number: int) -> _Made | Failure:
        try:
            with closing(ShardReader()) as reader:
                return self._batch(reader, self.batches[number])
        except InputError as error:
            return Failure(str(error))

    def _batch(self, reader: ShardReader, clips: Sequence[ClipEntry]) -> _Made:
        samples: list[Any] = []
        skipped: list[str] = []
        for start in range(0, len(clips), self.transform.clips):
            try:
                together = clips[start : start + self.transform.clips]
                samples += [self.transform.evaluation(reader, entry) for entry in together]
            except CorruptClip as error:
                if self.config.on_corrupt == "error":
                    raise
                skipped.append(error.key)
        return self.transform.collate(samples) if samples else None, skipped
