"""The clips of a split as their indexes tell, and which of them belong to a stage."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cavs_dist.curriculum import Protocol, Stage, in_stage
from cavs_dist.data.config import DataConfig
from cavs_dist.data.index import locate
from cavs_dist.data.shard import ClipEntry, read_split
from cavs_dist.errors import InputError


@dataclass(frozen=True)
class Split:
    """A split's clips, shard by shard. names: mask id -> class name. digest: of the contents of all its shards."""

    names: Mapping[int, str]
    shards: tuple[tuple[ClipEntry, ...], ...]
    digest: str

    @property
    def clips(self) -> tuple[ClipEntry, ...]:
        """All clips, in the order of the shards."""
        return tuple(clip for shard in self.shards for clip in shard)

    @property
    def shard_sizes(self) -> tuple[int, ...]:
        """Clips in each shard."""
        return tuple(len(shard) for shard in self.shards)

    @property
    def frames(self) -> int:
        """Frames of the longest clip."""
        return max((clip.meta.frames for clip in self.clips), default=0)


def open_split(config: DataConfig, split: str) -> Split:
    """Read a split's indexes and keep the clips that `data.sources` wants.

    Under `data.on_corrupt=skip` a truncated or missing tar is let pass: its lost clips are counted when they are read.
    """
    indexes = read_split(locate(config.path, config.remote), split, damaged=config.on_corrupt == "skip")
    shards = tuple(tuple(clip for clip in index.clips if _wanted(clip, config)) for index in indexes)
    if not any(shards):
        raise InputError(f"{config.path}: {split} has no clip for data.sources={config.sources}")
    contents = [index.sha256 for index in indexes]
    return Split(indexes[0].names, shards, hashlib.sha256(" ".join(contents).encode()).hexdigest())


def of_stage(split: Split, stages: Sequence[Stage], index: int, protocol: Protocol) -> Split:
    """Keep the training (or validation) clips of a stage; InputError if there is none."""
    shards = tuple(
        tuple(clip for clip in shard if in_stage(clip.meta.classes, stages, index, protocol)) for shard in split.shards
    )
    if not any(shards):
        raise InputError(
            f"stage {index} has no clip: none of {', '.join(stages[index].new)} is heard in a clip of the data "
            f"({protocol}); change curriculum.order or curriculum.split"
        )
    return Split(split.names, shards, split.digest)


def of_seen(split: Split, stage: Stage) -> Split:
    """Keep the clips in which a class seen so far is heard: what joint training learns from."""
    shards = tuple(
        tuple(clip for clip in shard if not set(clip.meta.classes).isdisjoint(stage.seen)) for shard in split.shards
    )
    return Split(split.names, shards, split.digest)


def _wanted(clip: ClipEntry, config: DataConfig) -> bool:
    return config.sources == "any" or (len(clip.meta.classes) >= 2) == (config.sources == "multiple")
