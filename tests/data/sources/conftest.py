"""A recording on disk, and a listing, for the tests of all layouts."""

from collections.abc import Callable
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
