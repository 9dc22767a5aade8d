"""Waveforms to warped spectrograms, and masks back to waveforms (The Sound of Pixels, arXiv 1804.03160)."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

SPREAD = 21.0


@dataclass(frozen=True)
class SpectrogramConfig:
    """The section `spectrogram`.

    n_fft: samples of a Hann window. hop: samples from one window to the next. bins: frequencies after the warp.
    align_corners: whether the grids of the warp lie on the centres of the outermost bins. False is as ContAV-Sep was
    released: each pass halves the outermost rows and columns, so that a mask keeps 25 % of them there and back.
    """

    n_fft: int = 1022
    hop: int = 256
    bins: int = 256
    align_corners: bool = True

    @property
    def frequencies(self) -> int:
        """F, the frequencies of the STFT."""
        return self.n_fft // 2 + 1


def stft(waveform: Tensor, config: SpectrogramConfig) -> Tensor:
    """Return the complex STFT [..., F, T] of [..., L] samples; T = 1 + L // hop.

    X[f, t] = sum_n hann[n] x[n + t hop - n_fft / 2] exp(-2 pi i f n / n_fft), x being 0 beyond its ends.
    """
    flat = torch.stft(
        waveform.reshape(-1, waveform.shape[-1]),
        config.n_fft,
        config.hop,
        window=_window(waveform, config),
        pad_mode="constant",
        return_complex=True,
    )
    return flat.view(*waveform.shape[:-1], *flat.shape[-2:])


def istft(spectrum: Tensor, config: SpectrogramConfig, length: int) -> Tensor:
    """Return the [..., length] samples whose STFT is closest to [..., F, T], by least squares."""
    window = _window(spectrum.real, config)
    flat = spectrum.reshape(-1, *spectrum.shape[-2:])
    return torch.istft(flat, config.n_fft, config.hop, window=window, length=length).view(*spectrum.shape[:-2], length)


def warp(magnitudes: Tensor, config: SpectrogramConfig) -> Tensor:
    """Bring [..., F, T] magnitudes to [..., bins, T], their rows spread logarithmically.

    Row y in [-1, 1] is read at g(y) = (21^((y + 1) / 2) - 11) / 10, bilinearly.
    """
    _refuse_rows(magnitudes, config.frequencies)
    half = (SPREAD - 1.0) / 2.0
    rows = (SPREAD ** ((_even(config.bins, magnitudes) + 1.0) / 2.0) - 1.0 - half) / half
    return _read(magnitudes, rows, config.align_corners)


def unwarp(masks: Tensor, config: SpectrogramConfig) -> Tensor:
    """Bring [..., bins, T] masks back to [..., F, T].

    Row y in [-1, 1] is read at 2 ln(10 y + 11) / ln 21 - 1, the inverse of g, bilinearly.
    """
    _refuse_rows(masks, config.bins)
    half = (SPREAD - 1.0) / 2.0
    rows = 2.0 * (half * _even(config.frequencies, masks) + half + 1.0).log() / math.log(SPREAD) - 1.0
    return _read(masks, rows, config.align_corners)


def separate(mixture: Tensor, masks: Tensor, config: SpectrogramConfig, length: int) -> Tensor:
    """Return the sources' [..., N, length] samples from the mixture's STFT [..., F, T] and masks [..., N, bins, T].

    A source has its unwarped mask times the mixture's magnitude, and the mixture's phase.
    """
    return istft(unwarp(masks, config) * mixture.unsqueeze(-3), config, length)


def _window(samples: Tensor, config: SpectrogramConfig) -> Tensor:
    return torch.hann_window(config.n_fft, dtype=samples.dtype, device=samples.device)


def _even(number: int, maps: Tensor) -> Tensor:
    """Return `number` places from -1 to 1 on the device of `maps`, in float32 at least."""
    return torch.linspace(-1.0, 1.0, number, dtype=torch.promote_types(maps.dtype, torch.float32), device=maps.device)


def _read(maps: Tensor, rows: Tensor, align_corners: bool) -> Tensor:
    """Read [..., h, T] bilinearly at `rows` [R] in [-1, 1] and at T even columns: [..., R, T]."""
    *others, height, width = maps.shape
    # Rounding would put the outermost rows a little outside, where zeros are.
    down = rows.clamp(-1.0, 1.0)[:, None].expand(-1, width)
    grid = torch.stack((_even(width, maps).expand_as(down), down), dim=-1)
    flat = maps.reshape(1, -1, height, width).to(grid.dtype)
    found = F.grid_sample(flat, grid[None], mode="bilinear", padding_mode="zeros", align_corners=align_corners)
    return found.view(*others, len(rows), width).to(maps.dtype)


def _refuse_rows(maps: Tensor, expected: int) -> None:
    if maps.shape[-2] != expected:
        raise ValueError(f"found {maps.shape[-2]} frequencies in {tuple(maps.shape)}, expected {expected}")
