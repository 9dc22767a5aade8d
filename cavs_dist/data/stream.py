"""Read the clips of a stage: updates for training, each clip once for evaluation."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from cavs_dist.data.augment import AugmentConfig
from cavs_dist.data.batch import Sample, collate, evaluation_sample, training_sample
from cavs_dist.data.decode import Limits, load_clip
from cavs_dist.data.order import Slot, Tail, share_of_rank
from cavs_dist.data.rehearse import Plan, Rehearsal
from cavs_dist.data.shard import ClipEntry, CorruptClip, ShardReader
from cavs_dist.errors import InputError
from cavs_dist.outputs import Batch
from cavs_dist.randomness import generator


@dataclass(frozen=True)
class DataConfig:
    """The section `data`.

    path: the folder of the shards. sources: use all clips, or those with a single sounding class, or with several.
    size: side of the square frames, pixels. frames: that a training clip is sampled down or padded up to, 0 for all.
    step: seconds between the sounds of two frames (VGGish's 0.96 s, or 1.0 where frames are one second apart).
    window: clips within which the order is shuffled. tail: what becomes of the clips that do not fill an update.
    workers: processes that read, on each rank. on_corrupt: what a clip that cannot be read does; with `skip` its
    neighbour takes its slot. corrupt_budget: how many different ones a rank skips, in one pass over a stage's training
    or in one evaluation, before the run ends. limits: what a clip may cost.
    """

    path: str
    sources: Literal["any", "single", "multiple"] = "any"
    size: int = 224
    frames: int = 0
    step: float = 0.96
    window: int = 2048
    tail: Tail = "drop"
    workers: int = 2
    on_corrupt: Literal["error", "skip"] = "error"
    corrupt_budget: int = 10
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True)
class StageClips:
    """What a rank reads in a stage. clips, exemplars: what the slots of `plan` number. *_table: mask id to label."""

    plan: Plan
    clips: Sequence[ClipEntry]
    exemplars: Sequence[ClipEntry]
    clips_table: NDArray[np.uint8]
    exemplars_table: NDArray[np.uint8]
    config: DataConfig
    frames: int


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


def training_updates(data: StageClips, first: int, last: int, rank: int, world: int, micro: int) -> Iterator[Update]:
    """Yield the rank's part of updates `first` ... `last` - 1, each in micro-batches of `micro` clips over all ranks.

    Whatever the number of workers: worker w of n makes every n-th update, and they are taken in turn.
    """
    lost: set[str] = set()
    for update in _loader(_TrainingDataset(data, first, last, rank, world, micro), data.config.workers):
        lost.update(update.skipped)
        _refuse_too_many(lost, data.config)
        yield update


def evaluation_batches(
    clips: Sequence[ClipEntry],
    table: NDArray[np.uint8],
    config: DataConfig,
    rank: int,
    world: int,
    batch: int,
    frames: int,
) -> Iterator[Batch]:
    """Yield every world-th clip once, whole and unaugmented, in batches of at most `batch` clips of `frames` frames."""
    lost: set[str] = set()
    for made, skipped in _loader(_EvaluationDataset(clips[rank::world], table, config, batch, frames), config.workers):
        lost.update(skipped)
        _refuse_too_many(lost, config)
        if made is not None:
            yield made


def _loader(dataset: IterableDataset[Any], workers: int) -> Iterator[Any]:
    loader = DataLoader(dataset, batch_size=None, num_workers=workers, prefetch_factor=4 if workers else None)
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


class _TrainingDataset(IterableDataset[Update | Failure]):
    def __init__(self, data: StageClips, first: int, last: int, rank: int, world: int, micro: int) -> None:
        self.data, self.first, self.last = data, first, last
        self.rank, self.world, self.micro = rank, world, micro

    def __iter__(self) -> Iterator[Update | Failure]:
        info = get_worker_info()
        number, workers = (0, 1) if info is None else (info.id, info.num_workers)
        rehearsal = Rehearsal(self.data.plan)
        with closing(ShardReader()) as reader:
            for update in range(self.first + number, self.last, workers):
                try:
                    yield self._update(reader, rehearsal, update)
                except InputError as error:
                    yield Failure(str(error))
                    return

    def _update(self, reader: ShardReader, rehearsal: Rehearsal, number: int) -> Update:
        stream, memory = rehearsal.update(number)
        slots = [*stream, *memory]
        skipped: list[str] = []
        batches = []
        for start in range(0, len(slots), self.micro):
            mine = share_of_rank(slots[start : start + self.micro], self.rank, self.world)
            samples = [self._sample(reader, slot, skipped) for slot in mine]
            batches.append(collate(samples, self.data.config.frames or self.data.frames))
        return Update(number, tuple(batches), tuple(skipped))

    def _sample(self, reader: ShardReader, slot: Slot, skipped: list[str]) -> Sample:
        """Make the slot's sample; a clip that cannot be read is skipped, if the policy says so, for its neighbour."""
        data = self.data
        source = data.exemplars if slot.from_memory else data.clips
        for step in range(len(source)):
            entry = source[(slot.clip + step) % len(source)]
            try:
                return self._augmented(reader, entry, slot)
            except CorruptClip as error:
                if data.config.on_corrupt == "error":
                    raise
                skipped.append(error.key)
                _refuse_too_many(set(skipped), data.config)
        raise InputError(f"none of the {len(source)} clips can be read: run `cavs-dist data check`")

    def _augmented(self, reader: ShardReader, entry: ClipEntry, slot: Slot) -> Sample:
        data, config = self.data, self.data.config
        rng = generator("augment", data.plan.seed, data.plan.stage, slot.epoch, entry.key, slot.occurrence)
        chosen = _choose(entry.meta.frames, config.frames or data.frames, rng)
        clip = load_clip(reader, entry, config.limits, chosen)
        table = data.exemplars_table if slot.from_memory else data.clips_table
        return training_sample(clip, chosen, config.size, config.step, table, config.augment, rng, slot.from_memory)


def _choose(frames: int, wanted: int, rng: np.random.Generator) -> list[int]:
    """Choose `wanted` of a clip's frames, in order; all of them if there are no more."""
    if frames <= wanted:
        return list(range(frames))
    return sorted(int(frame) for frame in rng.choice(frames, wanted, replace=False))


_Made = tuple[Batch | None, list[str]]


class _EvaluationDataset(IterableDataset[_Made | Failure]):
    def __init__(
        self, clips: Sequence[ClipEntry], table: NDArray[np.uint8], config: DataConfig, batch: int, frames: int
    ) -> None:
        self.clips, self.table, self.config, self.batch, self.frames = clips, table, config, batch, frames

    def __iter__(self) -> Iterator[_Made | Failure]:
        info = get_worker_info()
        number, workers = (0, 1) if info is None else (info.id, info.num_workers)
        with closing(ShardReader()) as reader:
            for start in range(number * self.batch, len(self.clips), workers * self.batch):
                try:
                    yield self._batch(reader, self.clips[start : start + self.batch])
                except CorruptClip as error:
                    yield Failure(str(error))
                    return

    def _batch(self, reader: ShardReader, clips: Sequence[ClipEntry]) -> _Made:
        config = self.config
        samples: list[Sample] = []
        skipped: list[str] = []
        for entry in clips:
            try:
                clip = load_clip(reader, entry, config.limits)
            except CorruptClip:
                if config.on_corrupt == "error":
                    raise
                skipped.append(entry.key)
                continue
            samples.append(evaluation_sample(clip, config.size, config.step, self.table))
        return collate(samples, self.frames) if samples else None, skipped
