import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from cavs_dist.models.spectrogram import SpectrogramConfig, istft, separate, stft, unwarp, warp

LITTLE = SpectrogramConfig(n_fft=30, hop=8, bins=10)


def little(align_corners: bool) -> SpectrogramConfig:
    return SpectrogramConfig(n_fft=30, hop=8, bins=10, align_corners=align_corners)


def smooth(knots: int = 30) -> Tensor:
    """A mask at the paper's size between random values in [0, 1], 18 rows or 9 steps from one to the next."""
    values = torch.rand(1, 1, knots, knots, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return F.interpolate(values, size=(512, 256), mode="bilinear", align_corners=True)


def dft(waveform: Tensor, config: SpectrogramConfig) -> Tensor:
    """The sum over n for each frequency, one time after the other, of one waveform."""
    size, half = config.n_fft, config.n_fft // 2
    padded, n = F.pad(waveform, (half, half)), torch.arange(size, dtype=waveform.dtype)
    hann = 0.5 - 0.5 * torch.cos(2 * math.pi * n / size)
    turns = torch.exp(-2j * math.pi * torch.outer(n[: half + 1], n) / size)
    starts = range(0, len(padded) - size + 1, config.hop)
    return torch.stack([turns @ (hann * padded[start : start + size] + 0j) for start in starts], dim=1)


def bilinear(maps: Tensor, rows: list[float], config: SpectrogramConfig) -> Tensor:
    """Read [h, T] at `rows` in [-1, 1] and T even columns as a sum of triangles over all places; zeros are outside."""

    def triangles(places: list[float], size: int) -> Tensor:
        y, on = torch.tensor(places, dtype=maps.dtype)[:, None], config.align_corners
        at = (y + 1) / 2 * (size - 1) if on else ((y + 1) * size - 1) / 2
        return (1 - (at - torch.arange(size)).abs()).clamp(min=0)

    height, width = maps.shape
    columns = [-1 + 2 * step / (width - 1) for step in range(width)]
    return torch.einsum("rh,ct,ht->rc", triangles(rows, height), triangles(columns, width), maps)


def logarithmic(bins: int) -> list[float]:
    return [(21 ** ((2 * i / (bins - 1)) / 2) - 11) / 10 for i in range(bins)]


def linear(frequencies: int) -> list[float]:
    return [2 * math.log(10 * (-1 + 2 * i / (frequencies - 1)) + 11) / math.log(21) - 1 for i in range(frequencies)]


def test_the_stft_is_its_sum_of_samples() -> None:
    waveforms = torch.randn(2, 3, 100, dtype=torch.float64)
    found = stft(waveforms, LITTLE)
    assert found.shape == (2, 3, LITTLE.frequencies, 1 + 100 // 8)
    torch.testing.assert_close(found[1, 2], dft(waveforms[1, 2], LITTLE))


def test_a_crop_of_the_paper_has_512_by_256() -> None:
    waveform = torch.randn(65_535, dtype=torch.float64)
    spectrum = stft(waveform, SpectrogramConfig())
    assert spectrum.shape == (512, 256)
    torch.testing.assert_close(istft(spectrum, SpectrogramConfig(), 65_535), waveform)


@pytest.mark.parametrize("align_corners", [True, False])
def test_warp_and_unwarp_are_read_at_g_and_its_inverse_with_gradients(align_corners: bool) -> None:
    config = little(align_corners)
    for read, sides, rows in ((warp, (16, 7), logarithmic(10)), (unwarp, (10, 7), linear(16))):
        maps = torch.rand(2, 3, *sides, dtype=torch.float64, requires_grad=True)
        found = read(maps, config)
        assert found.shape == (2, 3, len(rows), 7)
        expected = bilinear(maps[1, 2], rows, config)
        torch.testing.assert_close(found[1, 2], expected)
        direction = torch.randn_like(expected)
        (ours,) = torch.autograd.grad(found[1, 2], maps, direction)
        (theirs,) = torch.autograd.grad(expected, maps, direction)
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize(("align_corners", "error", "within"), [(True, 0.002, 5e-4), (False, 0.032, 5e-3)])
def test_a_smooth_mask_comes_back(align_corners: bool, error: float, within: float) -> None:
    """Mean absolute error; the specification's figures are 0.002 and 0.032."""
    config = SpectrogramConfig(align_corners=align_corners)
    back = unwarp(warp(smooth(), config), config)
    assert (back - smooth()).abs().mean().item() == pytest.approx(error, abs=within)


def test_as_released_the_outermost_rows_and_columns_keep_a_quarter() -> None:
    released, ones = SpectrogramConfig(align_corners=False), torch.ones(1, 1, 512, 256, dtype=torch.float64)
    once, back = warp(ones, released)[0, 0], unwarp(warp(ones, released), released)[0, 0]
    for maps, kept in ((once, 0.5), (back, 0.25)):
        for edge in (maps[0, 8:-8], maps[-1, 8:-8], maps[8:-32, 0], maps[8:-32, -1]):
            torch.testing.assert_close(edge, torch.full_like(edge, kept))
    ours = SpectrogramConfig()
    torch.testing.assert_close(unwarp(warp(ones, ours), ours), ones)


def test_time_comes_out_as_it_went_in() -> None:
    """A map that is the same in all rows is the same after either pass, at float32 too."""
    steps = torch.rand(1, 1, 1, 256)
    ours = SpectrogramConfig()
    torch.testing.assert_close(
        warp(steps.expand(1, 1, 512, 256), ours), steps.expand(1, 1, 256, 256), atol=3e-5, rtol=0
    )
    torch.testing.assert_close(
        unwarp(steps.expand(1, 1, 256, 256), ours), steps.expand(1, 1, 512, 256), atol=3e-5, rtol=0
    )


def test_a_source_is_its_mask_of_the_magnitude_with_the_phase_of_the_mixture() -> None:
    waveforms, masks = torch.randn(2, 100, dtype=torch.float64), torch.rand(2, 3, 10, 13, dtype=torch.float64)
    mixture = stft(waveforms, LITTLE)
    found = separate(mixture, masks, LITTLE, 100)
    assert found.shape == (2, 3, 100)
    magnitude = unwarp(masks[1, 2], LITTLE) * mixture[1].abs()
    torch.testing.assert_close(found[1, 2], istft(torch.polar(magnitude, mixture[1].angle()), LITTLE, 100))
    torch.testing.assert_close(separate(mixture, torch.ones_like(masks[:, :1]), LITTLE, 100)[:, 0], waveforms)


def test_dtypes_are_kept() -> None:
    masks = torch.rand(1, 10, 13)
    assert unwarp(masks.bfloat16(), LITTLE).dtype == torch.bfloat16
    assert separate(stft(torch.randn(1, 100), LITTLE), masks[:, None], LITTLE, 100).dtype == torch.float32
    torch.testing.assert_close(unwarp(masks.bfloat16(), LITTLE).float(), unwarp(masks, LITTLE), atol=0.01, rtol=0)


def test_other_frequencies_are_refused() -> None:
    with pytest.raises(ValueError, match=r"found 10 frequencies in .* expected 16"):
        warp(torch.rand(1, 1, 10, 5), LITTLE)
    with pytest.raises(ValueError, match=r"found 16 frequencies in .* expected 10"):
        unwarp(torch.rand(1, 1, 16, 5), LITTLE)
