"""From decoded clips to the tensors of a separator's batch: a crop of each source's sound, and what is seen with it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cavs_dist.data.audio import resample
from cavs_dist.data.augment import jitter, normalise, random_box, resize, whole
from cavs_dist.data.config import DataConfig, MixConfig
from cavs_dist.data.decode import load_features, load_source
from cavs_dist.data.shard import ClipEntry, CorruptClip, ShardReader
from cavs_dist.data.transform import Transform
from cavs_dist.outputs.separation import Batch
from cavs_dist.randomness import keyed_hash

OBJECT, MOTION = "object", "motion"  # the names of the features that a shard may have
STEPS = 8  # of the motion, as `data features` makes it, whatever a clip's length


@dataclass(frozen=True)
class Source:
    """One source: waveform [L], frames [K, 3, S, S], objects [K, D], motion [E, P], and its class's position."""

    key: str
    waveform: Tensor
    frames: Tensor
    objects: Tensor
    motion: Tensor
    position: int
    from_memory: bool


@dataclass(frozen=True)
class SeparationTransform(Transform[Source]):
    """Sources, two of which make a mixture.

    positions: of each class that may sound; a clip is a source of the first of these that sounds in it. frames: K,
    around the crop's middle. features: whether objects and motion are read from the shard, and no frames.
    """

    clips: ClassVar[int] = 2

    config: DataConfig
    positions: Mapping[str, int]
    frames: int
    features: bool

    def training(self, reader: ShardReader, entry: ClipEntry, rng: np.random.Generator, from_memory: bool) -> Source:
        """Read a crop around a middle that is drawn, louder or softer."""
        mix = self.config.mix
        first, last = middles(entry.meta.frames, mix.margin, mix.samples / mix.rate / self.config.step)
        middle = int(rng.integers(first, last + 1))
        gain = 1.0 + mix.gain * (2.0 * rng.random() - 1.0)
        return self._source(reader, entry, middle, gain, from_memory, rng)

    def evaluation(self, reader: ShardReader, entry: ClipEntry) -> Source:
        """Read the crop around the clip's middle as it is."""
        return self._source(reader, entry, max(entry.meta.frames // 2 - 1, 0), 1.0, False, None)

    def collate(self, samples: Sequence[Source]) -> Batch:
        """Stack sources; the first and the second are mixed, and so on."""
        memory = torch.tensor([source.from_memory for source in samples])
        return Batch(
            keys=tuple(source.key for source in samples),
            from_memory=memory,
            waveforms=torch.stack([source.waveform for source in samples]),
            frames=torch.stack([source.frames for source in samples]),
            objects=torch.stack([source.objects for source in samples]),
            motion=torch.stack([source.motion for source in samples]),
            classes=torch.tensor([source.position for source in samples]),
            videos=torch.tensor([keyed_hash("video", source.key) % 2**63 for source in samples]),
            weight=torch.ones(len(samples)),
            memory_weight=memory.float(),
        )

    def _source(
        self,
        reader: ShardReader,
        entry: ClipEntry,
        middle: int,
        gain: float,
        from_memory: bool,
        rng: np.random.Generator | None,
    ) -> Source:
        name = next(name for name in self.positions if name in entry.meta.classes)
        chosen = around(middle, self.frames, entry.meta.frames)
        seen = [] if self.features else chosen
        frames, sound = load_source(reader, entry, self.config.limits, seen, name)
        if not len(sound):
            raise CorruptClip(entry.key, f"has no sample of {name}, expected some sound", entry.shard)
        mix = self.config.mix
        start = (middle + 0.5) * self.config.step - mix.samples / mix.rate / 2
        waveform = np.clip(gain * crop(sound, entry.meta.rate, start, mix), -1.0, 1.0) / 2
        nothing = torch.empty(0)
        objects, motion = _features(reader, entry, chosen) if self.features else (nothing, nothing)
        shown = nothing if self.features else torch.from_numpy(self._frames(frames, rng))
        position = self.positions[name]
        return Source(entry.key, torch.from_numpy(waveform), shown, objects, motion, position, from_memory)

    def _frames(self, frames: NDArray[np.uint8], rng: np.random.Generator | None) -> NDArray[np.float32]:
        """Normalise frames, cropped, coloured and flipped alike where there is an `rng`."""
        augment, size = self.config.augment, self.config.size
        if rng is None:
            return normalise(resize(frames, whole(frames), size))
        shown = normalise(jitter(resize(frames, random_box(frames, augment, rng), size), augment, rng))
        return shown[..., ::-1].copy() if rng.random() < augment.flip else shown


def middles(frames: int, margin: int, length: float) -> tuple[int, int]:
    """Return the first and the last of `frames` frames that a crop of `length` frames may have in its middle.

    Before the first and after the last are at least `margin` frames, and half the crop. Where a clip is too short for
    that, the crop's middle is the clip's.
    """
    margin = max(margin, int(np.ceil(length / 2 - 0.5)))
    return (margin, frames - 1 - margin) if frames > 2 * margin else ((frames - 1) // 2, frames // 2)


def around(middle: int, wanted: int, frames: int) -> list[int]:
    """Return `wanted` neighbouring frames around `middle`; beyond the clip, its first or its last again."""
    return [min(max(middle - wanted // 2 + number, 0), frames - 1) for number in range(wanted)]


def crop(waveform: NDArray[np.float32], rate: int, start: float, mix: MixConfig) -> NDArray[np.float32]:
    """Cut `mix.samples` samples at `mix.rate` from a waveform at `rate` Hz, not empty; what is too short is repeated.

    start: seconds; a crop that would begin before the sound or end after it is moved inside.
    """
    wanted = -(-mix.samples * rate // mix.rate)
    if len(waveform) < wanted:
        waveform = np.tile(waveform, -(-wanted // len(waveform)))
    first = min(max(round(start * rate), 0), len(waveform) - wanted)
    return resample(waveform[first : first + wanted], rate, mix.rate)[: mix.samples]


def _features(reader: ShardReader, entry: ClipEntry, chosen: Sequence[int]) -> tuple[Tensor, Tensor]:
    found = load_features(reader, entry)
    missing = [name for name in (OBJECT, MOTION) if name not in found]
    if missing:
        raise CorruptClip(entry.key, f"has no feature.{missing[0]}.npy, which model.vision=features reads", entry.shard)
    objects = found[OBJECT]
    if objects.ndim != 2 or len(objects) != entry.meta.frames or found[MOTION].ndim != 2:
        shapes = f"{objects.shape} and {found[MOTION].shape}"
        raise CorruptClip(entry.key, f"has features of shapes {shapes}, expected [frames, D] and [E, P]", entry.shard)
    return torch.from_numpy(objects[list(chosen)]).float(), torch.from_numpy(found[MOTION].copy()).float()
