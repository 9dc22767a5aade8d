"""What a task makes of clips on their way into its batches."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Generic

import numpy as np
from typing_extensions import TypeVar

from cavs_dist.data.shard import ClipEntry, ShardReader
from cavs_dist.outputs import Batch

Sample = TypeVar("Sample", default=Any)


class Transform(ABC, Generic[Sample]):
    """From a clip in a shard to a sample, and from samples to a batch. It runs in processes that read: it is pickled.

    clips: how many consecutive clips belong together: a batch holds all of them or none.
    """

    clips: ClassVar[int] = 1

    @abstractmethod
    def training(self, reader: ShardReader, entry: ClipEntry, rng: np.random.Generator, from_memory: bool) -> Sample:
        """Read a clip as training sees it, augmented by draws from `rng`; CorruptClip where it cannot be read."""

    @abstractmethod
    def evaluation(self, reader: ShardReader, entry: ClipEntry) -> Sample:
        """Read a clip whole and unaugmented; CorruptClip where it cannot be read."""

    @abstractmethod
    def collate(self, samples: Sequence[Sample]) -> Batch:
        """Stack samples."""
