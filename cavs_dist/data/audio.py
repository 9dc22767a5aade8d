"""Log-mel examples, as VGGish hears them (Hershey et al., arXiv 1609.09430); the one module that knows torchaudio."""

from functools import cache

import numpy as np
import torch
import torchaudio.functional as AF
from numpy.typing import NDArray
from torch import Tensor

RATE = 16_000
WINDOW, HOP, FFT = 400, 160, 512
BANDS, LOWEST, HIGHEST = 64, 125.0, 7_500.0
FRAMES = 96
EXAMPLE = WINDOW + (FRAMES - 1) * HOP
LOG_OFFSET = 0.01


def resample(waveform: NDArray[np.float32], rate: int, target: int = RATE) -> NDArray[np.float32]:
    """Bring a mono waveform from `rate` to `target`, Hz."""
    if rate == target or not len(waveform):
        return waveform
    return AF.resample(torch.from_numpy(waveform), rate, target).numpy()


def cut_examples(waveform: NDArray[np.float32], starts: NDArray[np.float64], speed: float = 1.0) -> NDArray[np.float32]:
    """Cut [T, EXAMPLE] samples at `starts` (seconds) from a 16 kHz waveform; silence beyond its end.

    `speed` above 1 plays faster and higher, by linear interpolation; starts stay where they are.
    """
    offsets = np.arange(EXAMPLE) * speed
    at = starts[:, None] * RATE + offsets
    return np.interp(at, np.arange(len(waveform) + 1), np.append(waveform, 0.0)).astype(np.float32)


def log_mel(examples: Tensor) -> Tensor:
    """Return [T, 1, 96, 64] log-mel examples of [T, EXAMPLE] samples at 16 kHz.

    ln(mel + 0.01), mel = |FFT 512 of periodic-Hann windows of 25 ms, every 10 ms| times 64 triangles between 125 and
    7500 Hz, linear on the mel scale 1127 ln(1 + f / 700).
    """
    windows = examples.unfold(-1, WINDOW, HOP) * torch.hann_window(WINDOW, periodic=True)
    spectrum = torch.fft.rfft(windows, FFT).abs()
    return (spectrum @ mel_bands() + LOG_OFFSET).log()[:, None]


@cache
def mel_bands() -> Tensor:
    """Return the [257, 64] triangles; the bin of frequency 0 belongs to none."""
    bins = _mel(torch.linspace(0.0, RATE / 2, FFT // 2 + 1, dtype=torch.float64))[:, None]
    low, high = _mel(torch.tensor([LOWEST, HIGHEST], dtype=torch.float64))
    edges = torch.linspace(low, high, BANDS + 2, dtype=torch.float64)
    lower, centre, upper = edges[:-2], edges[1:-1], edges[2:]
    rising, falling = (bins - lower) / (centre - lower), (upper - bins) / (upper - centre)
    bands = torch.minimum(rising, falling).clamp(min=0.0)
    bands[0] = 0.0
    return bands.float()


def _mel(frequency: Tensor) -> Tensor:
    return 1127.0 * torch.log1p(frequency / 700.0)
