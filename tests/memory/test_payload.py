from pathlib import Path

import numpy as np

from cavs_dist.data.decode import STANDARD_LIMITS, load_clip
from cavs_dist.data.shard import ShardReader, read_split
from cavs_dist.memory.payload import load, store


def test_exemplars_come_back_as_they_went(scenes: Path, tmp_path: Path) -> None:
    indexes = read_split(scenes, "train")
    clips = [clip for index in indexes for clip in index.clips]
    names, reader = dict(indexes[0].names), ShardReader()
    store(tmp_path, 0, clips[5:20:7], names)
    store(tmp_path, 2, [clips[5], clips[1]], names)
    stored = load(tmp_path, [0, 2])
    wanted = [(0, clips[5]), (0, clips[12]), (0, clips[19]), (2, clips[5]), (2, clips[1])]
    assert list(stored) == [(stage, clip.key) for stage, clip in wanted]
    for stage, clip in wanted:
        place = stored[stage, clip.key]
        assert place.shard.parent == tmp_path and place.meta == clip.meta
        there, here = (load_clip(reader, entry, STANDARD_LIMITS) for entry in (clip, place))
        assert np.array_equal(there.frames, here.frames) and np.array_equal(there.masks, here.masks)
        assert np.array_equal(there.waveform, here.waveform)
    assert list(load(tmp_path, [2])) == [(2, clips[5].key), (2, clips[1].key)]
    assert load(tmp_path, []) == {}


def test_no_file_stays_open(scenes: Path, tmp_path: Path) -> None:
    [first, *_] = read_split(scenes, "train")
    store(tmp_path, 0, first.clips[:1], dict(first.names))
    before = len(list(Path("/proc/self/fd").iterdir()))
    store(tmp_path, 1, first.clips, dict(first.names))
    assert len(list(Path("/proc/self/fd").iterdir())) == before
