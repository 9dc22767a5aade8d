"""From decoded clips to the tensors of a segmenter's batch."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cavs_dist.data.audio import resample
from cavs_dist.data.augment import Box, hear, hear_augmented, jitter, normalise, random_box, resize, whole
from cavs_dist.data.clip import IGNORED, Clip
from cavs_dist.data.config import DataConfig
from cavs_dist.data.decode import load_clip
from cavs_dist.data.shard import ClipEntry, ShardReader
from cavs_dist.data.transform import Transform
from cavs_dist.outputs.segmentation import Batch


@dataclass(frozen=True)
class Sample:
    """One clip as a segmenter takes it: frames [T, 3, S, S], audio [T, 1, 96, 64], labels [T, S, S], annotated [T]."""

    key: str
    frames: Tensor
    audio: Tensor
    labels: Tensor
    annotated: Tensor
    from_memory: bool


@dataclass(frozen=True)
class SegmentationTransform(Transform[Sample]):
    """Frames, each with its second's sound and its labels.

    table: mask id to label, [256] uint8. frames: T, what a training clip is sampled down to and every clip padded to.
    """

    config: DataConfig
    table: NDArray[np.uint8]
    frames: int

    def training(self, reader: ShardReader, entry: ClipEntry, rng: np.random.Generator, from_memory: bool) -> Sample:
        """Read some of the clip's frames, augmented."""
        chosen = choose(entry.meta.frames, self.frames, rng)
        clip = load_clip(reader, entry, self.config.limits, chosen)
        return training_sample(clip, chosen, self.config, self.table, rng, from_memory)

    def evaluation(self, reader: ShardReader, entry: ClipEntry) -> Sample:
        """Read the whole clip."""
        return evaluation_sample(load_clip(reader, entry, self.config.limits), self.config, self.table)

    def collate(self, samples: Sequence[Sample]) -> Batch:
        """Stack clips, padded to `frames`."""
        return collate(samples, self.frames)


def choose(frames: int, wanted: int, rng: np.random.Generator) -> list[int]:
    """Choose `wanted` of a clip's frames, in order; all of them if there are no more."""
    if frames <= wanted:
        return list(range(frames))
    return sorted(int(frame) for frame in rng.choice(frames, wanted, replace=False))


def evaluation_sample(clip: Clip, config: DataConfig, table: NDArray[np.uint8]) -> Sample:
    """The whole clip, resized. `table`: mask id to label."""
    box = whole(clip.frames)
    starts = np.arange(len(clip.frames), dtype=np.float64) * config.step
    audio = hear(resample(clip.waveform, clip.rate), starts)
    frames = normalise(resize(clip.frames, box, config.size))
    return _sample(clip, frames, audio, _labels(clip.masks, box, config.size, table), False)


def training_sample(
    clip: Clip,
    chosen: Sequence[int],
    config: DataConfig,
    table: NDArray[np.uint8],
    rng: np.random.Generator,
    from_memory: bool,
) -> Sample:
    """The clip's frames number `chosen` (the only ones it was decoded to), augmented by draws from `rng`."""
    augment, size = config.augment, config.size
    box = random_box(clip.frames, augment, rng)
    frames = normalise(jitter(resize(clip.frames, box, size), augment, rng))
    labels = _labels(clip.masks, box, size, table)
    if rng.random() < augment.flip:
        frames, labels = frames[..., ::-1].copy(), labels[..., ::-1].copy()
    starts = np.asarray(chosen, np.float64) * config.step
    audio = hear_augmented(resample(clip.waveform, clip.rate), starts, augment, rng)
    return _sample(clip, frames, audio, labels, from_memory)


def _labels(masks: NDArray[np.uint8], box: Box, size: int, table: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return table[resize(masks, box, size, nearest=True)]


def _sample(
    clip: Clip, frames: NDArray[np.float32], audio: Tensor, labels: NDArray[np.uint8], from_memory: bool
) -> Sample:
    tensors = torch.from_numpy(frames), audio, torch.from_numpy(labels.astype(np.int64))
    return Sample(clip.key, *tensors, torch.from_numpy(clip.annotated.copy()), from_memory)


def collate(samples: Sequence[Sample], frames: int) -> Batch:
    """Stack clips, each padded to `frames` frames; weights are 1 on annotated and on present frames, else 0."""
    present = torch.stack([torch.arange(frames) < len(sample.frames) for sample in samples])
    annotated = torch.stack([_pad(sample.annotated, frames, 0) for sample in samples])
    return Batch(
        keys=tuple(sample.key for sample in samples),
        from_memory=torch.tensor([sample.from_memory for sample in samples]),
        frames=torch.cat([_pad(sample.frames, frames, 0) for sample in samples]),
        audio=torch.cat([_pad(sample.audio, frames, 0) for sample in samples]),
        labels=torch.cat([_pad(sample.labels, frames, IGNORED) for sample in samples]),
        present=present,
        annotated=annotated,
        label_weight=annotated.flatten().float(),
        frame_weight=present.flatten().float(),
    )


def _pad(values: Tensor, length: int, fill: int) -> Tensor:
    missing = values.new_full((length - len(values), *values.shape[1:]), fill)
    return torch.cat((values, missing))
