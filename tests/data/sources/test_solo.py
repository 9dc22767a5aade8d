from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from cavs_dist.data.clip import Clip, Encoded, Rejected
from cavs_dist.data.decode import STANDARD_LIMITS, decode_array, decode_clip
from cavs_dist.data.sources.solo import Cut, Solo, pack_solo
from cavs_dist.errors import InputError

SECONDS, FPS = 4, 2


def tone(rate: int, seconds: float = SECONDS) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * 440 * np.arange(int(rate * seconds)) / rate)


@pytest.fixture
def solo(tmp_path: Path) -> Solo:
    """Four seconds: a tone at 44.1 kHz on the left alone, and 8 pictures of 30 x 20, the n-th of grey 20 n."""
    soundfile.write(tmp_path / "a.wav", np.stack([tone(44_100), np.zeros(4 * 44_100)], axis=1), 44_100)
    (tmp_path / "a.mp4").mkdir()
    for n in range(SECONDS * FPS):
        Image.new("RGB", (30, 20), (20 * n,) * 3).save(tmp_path / "a.mp4" / f"{n + 3}.jpg")  # 10 comes after 9
    np.save(tmp_path / "object.npy", np.arange(SECONDS * 5, dtype=np.float32).reshape(SECONDS, 5))
    np.save(tmp_path / "motion.npy", np.ones((6, 8), np.float16))
    features = {name: tmp_path / f"{name}.npy" for name in ("object", "motion")}
    return Solo("a", ("tuba",), tmp_path / "a.wav", tmp_path / "a.mp4", features)


def packed(solo: Solo, cut: Cut) -> tuple[Encoded, Clip]:
    made = pack_solo(solo, cut)
    assert isinstance(made, Encoded), made
    members = {name: data for name, data in made.members.items() if not name.startswith("feature.")}
    return made, decode_clip(made.key, made.meta, members, STANDARD_LIMITS)


def test_a_video_becomes_frames_of_the_middle_of_seconds_and_mono_sound(solo: Solo) -> None:
    made, clip = packed(solo, Cut(size=10, fps=FPS))
    assert (made.meta.size, made.meta.rate, made.meta.seconds) == ((10, 15), 11_025, SECONDS)
    assert (made.meta.classes, made.meta.annotated) == (("tuba",), ())
    np.testing.assert_allclose(clip.frames.mean(axis=(1, 2, 3)), [20, 60, 100, 140], atol=2)
    expected = tone(11_025) / 2
    np.testing.assert_allclose(clip.waveform[100:-100], expected[100:-100], atol=2e-3)
    assert decode_array(made.members["feature.object.npy"]).shape == (SECONDS, 5)
    assert made.members["feature.motion.npy"] == solo.features["motion"].read_bytes()


def test_the_first_seconds_are_kept(solo: Solo) -> None:
    made, clip = packed(solo, Cut(size=40, fps=FPS, seconds=2))
    assert clip.frames.shape == (2, 40, 60, 3) and clip.waveform.shape == (2 * 11_025,)
    np.testing.assert_allclose(clip.waveform[100:-100], (tone(11_025, 2) / 2)[100:-100], atol=2e-3)
    assert decode_array(made.members["feature.object.npy"]).tolist() == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]


@pytest.mark.parametrize("name", ["a.mp3", "a.flac", "a.ogg"])
def test_every_kind_of_sound(solo: Solo, tmp_path: Path, name: str) -> None:
    soundfile.write(tmp_path / name, tone(16_000), 16_000)
    other = Solo("a", ("tuba",), tmp_path / name, solo.frames, {})
    _, clip = packed(other, Cut(size=10, fps=FPS))
    inside = slice(11_025, 3 * 11_025)
    found = np.abs(np.fft.rfft(clip.waveform[inside]))
    assert found.argmax() == 880  # 440 Hz in 2 s
    np.testing.assert_allclose(clip.waveform[inside].std(), 0.5 / np.sqrt(2), rtol=0.05)


BREAK: dict[str, Callable[[Path], object]] = {
    "a.wav: Error opening": lambda root: (root / "a.wav").write_bytes(b"no sound"),
    "a.wav: it holds no samples": lambda root: soundfile.write(root / "a.wav", np.zeros(0), 8000),
    "a.wav: it has samples": lambda root: soundfile.write(root / "a.wav", [np.nan] * 32000, 8000, subtype="FLOAT"),
    "a.wav: it has 9 channels": lambda root: soundfile.write(root / "a.wav", np.zeros((32000, 9)), 8000),
    "a.wav: 'rate' is 44101 Hz": lambda root: soundfile.write(root / "a.wav", np.zeros(4 * 44101), 44101),
    "a.mp4: its 8 pictures at 2 fps last 4 s, the sound 10 s: check fps": lambda root: soundfile.write(
        root / "a.wav", np.zeros(80_000), 8000
    ),
    "a.mp4: 6.jpg: ": lambda root: (root / "a.mp4/6.jpg").write_bytes((root / "a.mp4/6.jpg").read_bytes()[:200]),
    "a.mp4: frame 1 is of (9, 9) pixels": lambda root: Image.new("RGB", (9, 9)).save(root / "a.mp4/6.jpg"),
    "a.mp4: no frames found": lambda root: [path.unlink() for path in (root / "a.mp4").iterdir()],
    "features/object/object.npy: it has 3 rows, expected 4": lambda root: np.save(root / "object", np.zeros((3, 5))),
    "object.npy: it has 5 rows, expected 4": lambda root: np.save(root / "object", np.zeros((5, 5))),
    "features/motion/motion.npy: ": lambda root: np.save(root / "motion", np.array([{}]), allow_pickle=True),
}


@pytest.mark.parametrize("reason", BREAK)
def test_what_is_broken_is_named(solo: Solo, tmp_path: Path, reason: str) -> None:
    BREAK[reason](tmp_path)
    made = pack_solo(solo, Cut(size=10, fps=FPS))
    assert isinstance(made, Rejected)
    assert made.key == "a" and reason in made.reason


def test_what_is_not_there_is_named(solo: Solo) -> None:
    assert pack_solo(Solo("a", (), None, None, {}), Cut()) == Rejected(
        "a", "no sound and no frames found, and no video"
    )
    without = pack_solo(Solo("a", (), solo.sound, None, {}), Cut())
    assert without == Rejected("a", "no frames found, and no video")


def test_more_pixels_than_any_reader_takes_are_refused(solo: Solo) -> None:
    made = pack_solo(solo, Cut(size=4000, fps=FPS))
    assert isinstance(made, Rejected) and "are over 67108864 pixels: cut more" in made.reason


def test_a_fingerprint_knows_every_file(solo: Solo, tmp_path: Path) -> None:
    seen = [solo.fingerprint()]
    for path in (tmp_path / "a.wav", tmp_path / "a.mp4/5.jpg", tmp_path / "motion.npy"):
        path.write_bytes(b"shorter")
        assert solo.fingerprint() not in seen
        seen.append(solo.fingerprint())


@pytest.mark.parametrize("cut", [{"size": 0}, {"fps": 0.5}, {"fps": float("nan")}, {"seconds": -1}])
def test_a_cut_that_cannot_be_is_refused(cut: dict[str, float]) -> None:
    with pytest.raises(InputError, match="expected at least 1"):
        Cut(**cut)
