import numpy as np
import pytest
import torch

from cavs_dist.data.audio import EXAMPLE, RATE, cut_examples, log_mel, mel_bands, resample


def mel(hertz: float) -> float:
    return 1127.0 * np.log(1.0 + hertz / 700.0)


def slow_bands() -> np.ndarray:
    """The triangles of VGGish, bin by bin; a band's neighbours' centres are its corners."""
    corners = np.linspace(mel(125.0), mel(7500.0), 66)
    bands = np.zeros((257, 64))
    for i in range(1, 257):
        at = mel(i * 8000.0 / 256)
        for band in range(64):
            low, centre, high = corners[band : band + 3]
            bands[i, band] = max(0.0, min((at - low) / (centre - low), (high - at) / (high - centre)))
    return bands


def slow_log_mel(samples: np.ndarray) -> np.ndarray:
    """One example [96, 64] by a discrete Fourier transform written out, in float64."""
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    waves = np.exp(-2j * np.pi * np.outer(np.arange(257), np.arange(400)) / 512)
    windows = np.stack([samples[160 * t : 160 * t + 400] * hann for t in range(96)])
    return np.log(np.abs(windows @ waves.T) @ slow_bands() + 0.01)


def test_log_mel_is_vggish_s() -> None:
    rng = np.random.default_rng(0)
    seconds = np.arange(EXAMPLE) / RATE
    chirp = np.sin(2 * np.pi * (200 + 3000 * seconds) * seconds) * np.linspace(0, 1, EXAMPLE)
    examples = np.stack([chirp, 0.1 * rng.standard_normal(EXAMPLE), np.zeros(EXAMPLE)]).astype(np.float32)
    found = log_mel(torch.from_numpy(examples))
    assert found.shape == (3, 1, 96, 64)
    for example, ours in zip(examples, found[:, 0].double().numpy(), strict=True):
        np.testing.assert_allclose(ours, slow_log_mel(example.astype(np.float64)), atol=1e-3)
    assert found[2].unique().tolist() == pytest.approx([np.log(0.01)])


def test_triangles_overlap_by_halves() -> None:
    bands = mel_bands().double().numpy()
    np.testing.assert_allclose(bands, slow_bands(), atol=1e-6)
    frequencies = np.arange(257) * 8000.0 / 256
    inside = (mel(frequencies) >= np.linspace(mel(125), mel(7500), 66)[1]) & (frequencies <= 7000)
    np.testing.assert_allclose(bands[inside].sum(axis=1), 1.0, atol=1e-6)
    assert not bands[frequencies > 7500].any() and not bands[frequencies < 125].any()


@pytest.mark.parametrize("rate", [8000, 44_100, 48_000])
def test_a_tone_stays_where_it_is(rate: int) -> None:
    tone = np.sin(2 * np.pi * 1000 * np.arange(rate) / rate).astype(np.float32)
    found = resample(tone, rate)
    assert abs(len(found) - RATE) <= 1
    expected = np.sin(2 * np.pi * 1000 * np.arange(len(found)) / RATE)
    assert np.abs(found - expected)[200:-200].max() < 0.01


def test_resampling_of_what_needs_none() -> None:
    tone = np.ones(3, np.float32)
    assert resample(tone, RATE) is tone
    assert len(resample(tone, RATE, 11_025)) == -(-len(tone) * 11_025 // RATE)
    assert resample(tone[:0], 8000).size == 0


def test_cuts_begin_where_asked_and_end_in_silence() -> None:
    waveform = np.arange(1, 2 * RATE + 1, dtype=np.float32)
    cuts = cut_examples(waveform, np.array([0.0, 0.96, 1.5, 9.0]))
    assert cuts.shape == (4, EXAMPLE) and cuts.dtype == np.float32
    assert np.array_equal(cuts[0], waveform[:EXAMPLE]) and np.array_equal(cuts[1], waveform[15_360:][:EXAMPLE])
    assert np.array_equal(cuts[2, : RATE // 2], waveform[24_000:]) and not cuts[2, RATE // 2 :].any()
    assert not cuts[3].any()
    assert not cut_examples(waveform[:0], np.array([0.0])).any()


def test_speed_reads_on_faster() -> None:
    waveform = np.arange(4 * RATE, dtype=np.float32)
    slow, fast = (cut_examples(waveform, np.array([1.0]), speed)[0] for speed in (0.5, 1.5))
    np.testing.assert_allclose(slow, RATE + 0.5 * np.arange(EXAMPLE))
    np.testing.assert_allclose(fast, RATE + 1.5 * np.arange(EXAMPLE))
