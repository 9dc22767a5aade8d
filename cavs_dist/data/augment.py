"""What training does to a clip: frames, crop, flip, colour; speed, gain, noise, masked bands. One draw a clip."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from cavs_dist.data.audio import cut_examples, log_mel

MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)


@dataclass(frozen=True)
class AugmentConfig:
    """The section `data.augment`; all zeros is the paper's transform (short edge, centre crop).

    crop: largest share of the side cut away. flip: probability of mirroring. colour: largest change of brightness,
    contrast and saturation, as a share. speed: largest change of speed and pitch, in octaves. gain: largest change
    of loudness, in dB. noise: largest level of added white noise, as a share of the loudest sample. bands: largest
    share of time steps and of frequency bands masked.
    """

    crop: float = 0.0
    flip: float = 0.0
    colour: float = 0.0
    speed: float = 0.0
    gain: float = 0.0
    noise: float = 0.0
    bands: float = 0.0


Box = tuple[float, float, float, float]


def whole(pictures: NDArray[np.uint8]) -> Box:
    """The box of the entire picture, of [T, H, W, ...] pictures: what evaluation looks at."""
    return (0.0, 0.0, float(pictures.shape[2]), float(pictures.shape[1]))


def random_box(pictures: NDArray[np.uint8], config: AugmentConfig, rng: np.random.Generator) -> Box:
    """A square within the picture: the centre one of the short edge, or smaller and anywhere."""
    _, _, width, height = whole(pictures)
    side = min(height, width) * (1.0 - config.crop * rng.random())
    left, top = (width - side) / 2, (height - side) / 2
    if config.crop > 0:
        left, top = rng.random() * (width - side), rng.random() * (height - side)
    return (left, top, left + side, top + side)


def resize(pictures: NDArray[np.uint8], box: Box, size: int, *, nearest: bool = False) -> NDArray[np.uint8]:
    """Cut `box` from each of [T, H, W, ...] pictures and resize it to size x size (bilinear, or nearest for masks)."""
    if box == whole(pictures) and pictures.shape[1:3] == (size, size):
        return pictures
    how = Image.Resampling.NEAREST if nearest else Image.Resampling.BILINEAR
    return np.stack([np.asarray(Image.fromarray(picture).resize((size, size), how, box=box)) for picture in pictures])


def normalise(frames: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Turn [T, H, W, 3] bytes into [T, 3, H, W], ImageNet's mean 0 and deviation 1."""
    return np.ascontiguousarray(((frames.astype(np.float32) / 255.0 - MEAN) / STD).transpose(0, 3, 1, 2))


def jitter(frames: NDArray[np.uint8], config: AugmentConfig, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Change brightness, contrast and saturation, the same for all frames of the clip."""
    if config.colour == 0:
        return frames
    brightness, contrast, saturation = 1.0 + config.colour * (2.0 * rng.random(3) - 1.0)
    values = frames.astype(np.float32) * brightness
    grey = values.mean(axis=-1, keepdims=True)
    values = grey + (values - grey) * saturation
    values = values.mean() + (values - values.mean()) * contrast
    return np.clip(values, 0, 255).astype(np.uint8)


def hear(waveform: NDArray[np.float32], starts: NDArray[np.float64]) -> Tensor:
    """The log-mel examples at `starts` (seconds), [T, 1, 96, 64], as evaluation hears them."""
    return log_mel(torch.from_numpy(cut_examples(waveform, starts)))


def hear_augmented(
    waveform: NDArray[np.float32], starts: NDArray[np.float64], config: AugmentConfig, rng: np.random.Generator
) -> Tensor:
    """The log-mel examples at `starts`, faster or slower, louder or softer, with noise and masked bands."""
    speed, gain, noise = 2.0 * rng.random(3) - 1.0
    examples = cut_examples(waveform, starts, 2.0 ** (config.speed * speed))
    examples *= 10.0 ** (config.gain * gain / 20.0)
    if config.noise > 0:
        level = config.noise * abs(noise) * float(np.abs(examples).max())
        examples += level * rng.standard_normal(examples.shape, np.float32)
    mel = log_mel(torch.from_numpy(examples))
    return _mask_bands(mel, config.bands, rng) if config.bands > 0 else mel


def _mask_bands(mel: Tensor, share: float, rng: np.random.Generator) -> Tensor:
    """Mask one span of time and one of frequency by the mean (SpecAugment, Park et al., arXiv 1904.08779)."""
    mean = mel.mean()
    for axis in (2, 3):
        length = int(rng.integers(0, int(share * mel.shape[axis]) + 1))
        start = int(rng.integers(0, mel.shape[axis] - length + 1))
        mel.narrow(axis, start, length).fill_(mean)
    return mel
