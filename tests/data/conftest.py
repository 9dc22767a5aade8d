from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cavs_dist.data.clip import Clip, Encoded
from cavs_dist.data.decode import encode_clip
from cavs_dist.data.shard import write_shards

NAMES = {1: "guitar", 7: "dog"}


def small_clip(number: int) -> Clip:
    """Three frames of 12 x 16, the last without a mask, half a second of sound."""
    rng = np.random.default_rng(number)
    masks = np.full((3, 12, 16), 255, np.uint8)
    masks[:2] = rng.choice([0, 1, 7, 255], size=(2, 12, 16))
    waveform = rng.uniform(-1, 1, 4000).astype(np.float32)
    return Clip(
        key=f"clip-{number}",
        frames=rng.integers(0, 256, (3, 12, 16, 3), np.uint8),
        masks=masks,
        annotated=np.array([True, True, False]),
        waveform=waveform,
        rate=8000,
        classes=("dog", "guitar") if number % 2 else ("dog",),
        objects=("guitar", "dog"),
        silent=np.where(masks == 255, masks, 0).astype(np.uint8),
        sources={"dog": waveform / 2},
    )


def encoded(number: int) -> Encoded:
    return encode_clip(small_clip(number), frame_format="png")


@pytest.fixture
def make_clip() -> Callable[[int], Clip]:
    """Number -> a small clip."""
    return small_clip


@pytest.fixture
def data_set(tmp_path: Path) -> Path:
    """A folder with five clips in two training shards."""
    write_shards(tmp_path, "train", range(5), encoded, NAMES, clips_per_shard=3)
    return tmp_path
