import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cavs_dist.data.sources.video import in_the_middle, read_video_pictures, read_video_sound, refuse_without_pyav
from cavs_dist.errors import InputError


def slow(starts: list[float], last: float, seconds: int) -> list[int]:
    """At each middle of a second, the last picture that has started by then, or the first of all."""
    middles = [second + 0.5 for second in range(seconds) if second + 0.5 < starts[-1] + last]
    return [max([n for n, start in enumerate(starts) if start <= middle], default=0) for middle in middles]


def test_the_picture_shown_in_the_middle_of_each_second() -> None:
    rng = np.random.default_rng(0)
    for rate in (0.3, 1, 8, 29.97):
        for _ in range(20):
            starts = np.cumsum(rng.exponential(1 / rate, rng.integers(1, 60))).tolist()
            for seconds in (1, 4, 100):
                found = list(in_the_middle(((start, n) for n, start in enumerate(starts)), 1 / rate, seconds))
                assert found == slow(starts, 1 / rate, seconds)
    assert list(in_the_middle([(0.0, "a"), (0.5, "b"), (2.0, "c")], 0.5, 9)) == ["b", "b"]
    assert list(in_the_middle([], 1.0, 9)) == []


def test_without_pyav_one_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(InputError, match=r"pip install 'cavs_dist\[video\]'"):
        refuse_without_pyav()


def test_pictures_and_sound_of_a_video(tmp_path: Path, write_video: Callable[..., Path]) -> None:
    path = write_video(tmp_path / "a.mp4", seconds=3)
    greys = [np.asarray(picture).mean() for picture in read_video_pictures(path, 9)]
    np.testing.assert_allclose(greys, [50, 100, 150], atol=4)
    assert len(list(read_video_pictures(path, 2))) == 2
    waveform, rate = read_video_sound(path, 2)
    assert rate == 44_100 and waveform.shape == (2 * rate,) and waveform.dtype == np.float32
    spectrum = np.abs(np.fft.rfft(waveform[rate // 2 :][:rate]))
    assert abs(spectrum.argmax() - 440) <= 1


@pytest.mark.parametrize(("kind", "words"), [("sound", "it has no pictures"), ("pictures", "it has no sound")])
def test_half_a_video_is_refused(tmp_path: Path, write_video: Callable[..., Path], kind: str, words: str) -> None:
    path = write_video(tmp_path / "a.mp4", seconds=1, only=kind)
    with pytest.raises(InputError, match=words):
        list(read_video_pictures(path, 1))
        read_video_sound(path, 1)
