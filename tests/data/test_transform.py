import pickle
from pathlib import Path

import numpy as np
import pytest

from cavs_dist.data.config import DataConfig
from cavs_dist.data.segmentation import SegmentationTransform
from cavs_dist.data.shard import ShardReader
from cavs_dist.data.split import open_split
from cavs_dist.data.transform import Transform


def test_a_transform_goes_to_other_processes(scenes: Path) -> None:
    config = DataConfig(path=str(scenes), size=16, frames=2)
    transform = SegmentationTransform(config, np.arange(256, dtype=np.uint8), frames=2)
    there: Transform = pickle.loads(pickle.dumps(transform))
    entry, reader = open_split(config, "train").clips[0], ShardReader()
    one, other = (each.training(reader, entry, np.random.default_rng(0), False) for each in (transform, there))
    assert one.frames.equal(other.frames) and there.clips == 1
    assert there.collate([one, other]).keys == (entry.key, entry.key)


def test_a_transform_says_what_it_makes() -> None:
    with pytest.raises(TypeError, match="abstract"):
        Transform()  # type: ignore[abstract]
