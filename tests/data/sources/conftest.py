"""A recording on disk, as files or as a video, for the tests of all layouts."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

HEIGHT, WIDTH, RATE = 12, 16, 16_000


@pytest.fixture
def write_recording() -> Callable[..., Path]:
    """Write frames 0.. and `audio.wav` (1 s of noise for each frame) into a folder; masks are the tests' own."""

    def write(folder: Path, frames: int, suffix: str = "jpg") -> Path:
        rng = np.random.default_rng(frames)
        (folder / "frames").mkdir(parents=True)
        for t in range(frames):
            pixels = rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / "frames" / f"{t}.{suffix}")
        noise = rng.integers(-32768, 32768, RATE * frames).astype(np.int16)
        soundfile.write(folder / "audio.wav", noise, RATE, subtype="PCM_16")
        return folder

    return write


@pytest.fixture
def write_mask() -> Callable[..., None]:
    """Write a picture file of an array."""

    def write(path: Path, pixels: np.ndarray) -> None:
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(path)

    return write


@pytest.fixture
def write_video() -> Callable[..., Path]:
    """Write an mp4 at 10 fps: second t is of grey 50 (t + 1); its sound is 440 Hz in stereo, at 44.1 kHz."""
    av = pytest.importorskip("av")

    def write(path: Path, seconds: int, only: str = "") -> Path:
        rate = 44_100
        path.parent.mkdir(parents=True, exist_ok=True)
        with av.open(str(path), "w") as container:
            pictures = container.add_stream("mpeg4", rate=10) if only != "sound" else None
            sound = container.add_stream("aac", rate=rate, layout="stereo") if only != "pictures" else None
            if pictures is not None:
                pictures.width, pictures.height, pictures.pix_fmt = 48, 32, "yuv420p"
                for number in range(10 * seconds):
                    pixels = np.full((32, 48, 3), 50 * (number // 10 + 1), np.uint8)
                    frame = av.VideoFrame.from_ndarray(pixels)
                    frame.pts, frame.time_base = number, Fraction(1, 10)
                    container.mux(pictures.encode(frame))
                container.mux(pictures.encode(None))
            if sound is not None:
                tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(seconds * rate) / rate)
                frame = av.AudioFrame.from_ndarray(np.stack([tone, tone]).astype(np.float32), "fltp", "stereo")
                frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
                container.mux(sound.encode(frame))
                container.mux(sound.encode(None))
        return path

    return write
