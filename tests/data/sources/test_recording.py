from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from cavs_dist.data.clip import Encoded, Rejected
from cavs_dist.data.decode import Limits, decode_clip, decode_mask
from cavs_dist.data.sources.recording import NO_FRAME, Recording, pack

IDS = np.arange(12 * 16, dtype=np.uint8).reshape(12, 16)
Write = Callable[..., Path]


@pytest.fixture
def recording(tmp_path: Path, write_recording: Write, write_mask: Write) -> Recording:
    folder = write_recording(tmp_path / "one", 3)
    write_mask(folder / "masks" / "1.png", IDS)
    frames = tuple(f"frames/{t}.jpg" for t in range(3))
    return Recording("one", folder, ("dog", "cat"), frames, {1: "masks/1.png"}, "audio.wav")


def test_a_whole_recording_is_packed(recording: Recording) -> None:
    packed = pack(recording, decode_mask, Limits())
    assert isinstance(packed, Encoded)
    clip = decode_clip(packed.key, packed.meta, packed.members, Limits())
    assert packed.members["frame.2.jpg"] == (recording.folder / "frames/2.jpg").read_bytes()
    assert (clip.masks[1] == IDS).all()
    assert clip.annotated.tolist() == [False, True, False]
    expected, rate = soundfile.read(recording.folder / "audio.wav", dtype="float32")
    assert np.array_equal(clip.waveform, expected)
    assert (packed.meta.rate, packed.meta.seconds, packed.meta.size) == (rate, 3.0, (12, 16))
    assert packed.meta.classes == ("dog", "cat")


def test_channels_are_averaged(recording: Recording) -> None:
    stereo = np.array([[0.5, 0.25], [-0.5, 0.5]])
    soundfile.write(recording.folder / "audio.wav", stereo, 8000)
    packed = pack(recording, decode_mask, Limits())
    assert isinstance(packed, Encoded)
    clip = decode_clip(packed.key, packed.meta, packed.members, Limits())
    assert clip.waveform.tolist() == [0.375, 0.0]


def shorten(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


BREAK: dict[str, Callable[[Path], object]] = {
    "audio.wav is missing": lambda folder: (folder / "audio.wav").unlink(),
    "audio.wav: ": lambda folder: (folder / "audio.wav").write_bytes(b"not a sound"),
    "audio.wav: it holds no samples": lambda folder: soundfile.write(folder / "audio.wav", np.zeros(0), 8000),
    "not finite": lambda folder: soundfile.write(folder / "audio.wav", [np.nan] * 9, 8000, subtype="FLOAT"),
    "audio.wav: audio of 9.0 s": lambda folder: soundfile.write(folder / "audio.wav", np.zeros(9000), 1000),
    "2 frames found, 3 expected": lambda folder: (folder / "frames/1.jpg").unlink(),
    "4 frames found, 3 expected": lambda folder: (folder / "frames/3.PNG").touch(),
    "frames/1.jpg is missing": lambda folder: (folder / "frames/1.jpg").rename(folder / "frames/9.jpg"),
    "frames/2.jpg: ": lambda folder: shorten(folder / "frames/2.jpg"),
    "frames/0.jpg: cannot identify": lambda folder: (folder / "frames/0.jpg").write_bytes(b"GIF89a"),
    "frames/1.jpg is 8 x 9, frames/0.jpg is 12 x 16": lambda folder: Image.new("RGB", (9, 8)).save(
        folder / "frames/1.jpg"
    ),
    "masks/1.png: ": lambda folder: shorten(folder / "masks/1.png"),
    "masks/1.png is 99 x 99, more than": lambda folder: Image.new("L", (99, 99)).save(folder / "masks/1.png"),
    "masks/1.png: a mask has mode RGB": lambda folder: Image.new("RGB", (16, 12)).save(folder / "masks/1.png"),
}


@pytest.mark.parametrize("reason", BREAK)
def test_what_is_missing_or_broken_is_named(recording: Recording, reason: str) -> None:
    BREAK[reason](recording.folder)
    packed = pack(recording, decode_mask, Limits(max_pixels=12 * 16 * 3, max_seconds=8))
    assert isinstance(packed, Rejected)
    assert packed.key == "one"
    assert reason in packed.reason


def test_limits_and_strays(recording: Recording) -> None:
    too_large = pack(recording, decode_mask, Limits(max_pixels=12 * 16 * 3 - 1))
    assert too_large == Rejected("one", "3 frames of 12 x 16 are more than 575 pixels")
    masks = {**recording.masks, NO_FRAME: "masks/x.png"}
    stray = Recording("one", recording.folder, (), recording.frames, masks, "audio.wav")
    assert "masks/x.png belongs to no frame" in str(pack(stray, decode_mask, Limits()))
    empty = Recording("one", recording.folder / "masks", (), (), {}, "audio.wav")
    assert "0 frames found, at least one expected" in str(pack(empty, decode_mask, Limits()))
