import numpy as np
import pytest

from cavs_dist.data.scenes.items import RATE, bank
from cavs_dist.data.scenes.sound import AUDIBLE, PEAK, Cue, heard_in, mix, source


def cue(name: str, start: float = 0, stop: float = 5, level: float = -20, offset: float = 1.5) -> Cue:
    files = next(iter(bank().shelves[name, "train"].recordings.values()))
    return Cue(tuple(files), offset=offset, speed=1.05, level=level, start=start, stop=stop)


@pytest.mark.parametrize("name", ["pig", "violin", "woman"])
def test_a_source_plays_at_its_level_within_its_cue_alone(name: str) -> None:
    waveform = source(cue(name, start=1, stop=4), 5 * RATE)
    assert not waveform[:RATE].any() and not waveform[4 * RATE :].any()
    level = 20 * np.log10(np.sqrt(np.mean(waveform[RATE : 4 * RATE] ** 2)))
    assert level == pytest.approx(-20, abs=0.2)


def test_a_source_lasts_to_the_end_of_any_clip() -> None:
    waveform = source(cue("dog", stop=12.3), round(12.3 * RATE))
    assert waveform[-RATE:].any()


def test_the_offset_is_where_the_recording_begins() -> None:
    early, late = (source(cue("violin", offset=offset), 5 * RATE) for offset in (0.0, 2.1))
    gain = np.sum(early[int(2.2 * RATE) : 4 * RATE] ** 2) / np.sum(late[int(0.2 * RATE) : 2 * RATE] ** 2)
    # 2.1 s of tape pass in 2 s at a speed of 1.05.
    np.testing.assert_allclose(
        early[int(2.2 * RATE) : 4 * RATE], late[int(0.2 * RATE) : 2 * RATE] * np.sqrt(gain), atol=1e-5
    )


def test_a_mixture_is_the_sum_and_does_not_clip() -> None:
    loud = {name: source(cue(name, level=3), 5 * RATE) for name in ("drum", "bird")}
    mixture, sources = mix(loud)
    np.testing.assert_allclose(mixture, sources["drum"] + sources["bird"], atol=1e-6)
    assert max(np.abs(waveform).max() for waveform in (mixture, *sources.values())) == pytest.approx(PEAK, rel=1e-6)
    np.testing.assert_allclose(sources["drum"] * loud["bird"], sources["bird"] * loud["drum"], atol=1e-5)


def test_a_quiet_mixture_is_left_alone() -> None:
    quiet = {"bell": source(cue("bell", level=-30), 5 * RATE)}
    np.testing.assert_array_equal(mix(quiet)[0], quiet["bell"])


@pytest.mark.parametrize(("frames", "seconds"), [(5, 5.0), (1, 1.0), (10, 5.0), (3, 7.5)])
def test_heard_is_the_level_of_a_frames_own_second(frames: int, seconds: float) -> None:
    rng = np.random.default_rng(0)
    samples = round(seconds * RATE)
    level = np.abs(np.sin(np.linspace(0.5, 7, samples))) * 2 * AUDIBLE
    waveform = (rng.normal(size=samples) * level).astype(np.float32)
    slow = []
    for t in range(frames):
        start = min(round(t * len(waveform) / frames), len(waveform) - RATE)
        slow.append(np.sqrt(np.mean(waveform[start : start + RATE].astype(np.float64) ** 2)) >= AUDIBLE)
    assert heard_in(waveform, frames).tolist() == slow


def test_a_clip_of_five_seconds_hears_its_own_seconds() -> None:
    waveform = np.zeros(5 * RATE, np.float32)
    waveform[RATE : 3 * RATE] = 0.1
    assert heard_in(waveform, 5).tolist() == [False, True, True, False, False]
