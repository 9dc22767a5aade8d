"""From decoded clips to the tensors of a batch."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cavs_dist.data.audio import resample
from cavs_dist.data.augment import (
    AugmentConfig,
    Box,
    hear,
    hear_augmented,
    jitter,
    normalise,
    random_box,
    resize,
    whole,
)
from cavs_dist.data.clip import IGNORED, Clip
from cavs_dist.outputs import Batch


@dataclass(frozen=True)
class Sample:
    """One clip as a model takes it: frames [T, 3, S, S], audio [T, 1, 96, 64], labels [T, S, S], annotated [T]."""

    key: str
    frames: Tensor
    audio: Tensor
    labels: Tensor
    annotated: Tensor
    from_memory: bool


def evaluation_sample(clip: Clip, size: int, step: float, table: NDArray[np.uint8]) -> Sample:
    """The whole clip, resized to size x size. `step`: seconds between two frames' sounds. `table`: mask id to label."""
    box = whole(clip.frames)
    starts = np.arange(len(clip.frames), dtype=np.float64) * step
    audio = hear(resample(clip.waveform, clip.rate), starts)
    return _sample(clip, normalise(resize(clip.frames, box, size)), audio, _labels(clip.masks, box, size, table), False)


def training_sample(
    clip: Clip,
    chosen: Sequence[int],
    size: int,
    step: float,
    table: NDArray[np.uint8],
    augment: AugmentConfig,
    rng: np.random.Generator,
    from_memory: bool,
) -> Sample:
    """The clip's frames number `chosen` (the only ones it was decoded to), augmented by draws from `rng`."""
    box = random_box(clip.frames, augment, rng)
    frames = normalise(jitter(resize(clip.frames, box, size), augment, rng))
    labels = _labels(clip.masks, box, size, table)
    if rng.random() < augment.flip:
        frames, labels = frames[..., ::-1].copy(), labels[..., ::-1].copy()
    starts = np.asarray(chosen, np.float64) * step
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


def one_by_one(batch: Batch) -> Iterator[Batch]:
    """Yield each clip as a batch of its own."""
    frames = batch.present.shape[1]
    for number, key in enumerate(batch.keys):
        clip, inside = slice(number, number + 1), slice(number * frames, (number + 1) * frames)
        by_clip = {name: getattr(batch, name)[clip] for name in ("from_memory", "present", "annotated")}
        names = ("frames", "audio", "labels", "label_weight", "frame_weight")
        yield Batch(keys=(key,), **by_clip, **{name: getattr(batch, name)[inside] for name in names})


def move(batch: Batch, device: torch.device) -> Batch:
    """Return the batch on `device`."""
    moved: dict[str, Any] = {
        name: value.to(device, non_blocking=True) for name, value in vars(batch).items() if isinstance(value, Tensor)
    }
    return replace(batch, **moved)
