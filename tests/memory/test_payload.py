import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cavs_dist.data.decode import STANDARD_LIMITS, load_clip
from cavs_dist.data.shard import ShardReader, read_split
from cavs_dist.errors import InputError
from cavs_dist.memory.payload import discard, find, load, readable, store


def test_exemplars_come_back_as_they_went(scenes: Path, tmp_path: Path) -> None:
    indexes = read_split(scenes, "train")
    clips = [clip for index in indexes for clip in index.clips]
    names, reader = dict(indexes[0].names), ShardReader()
    store(tmp_path, 0, clips[5:20:7], names)
    store(tmp_path, 2, [clips[5], clips[1]], names)
    wanted = [(2, clips[5]), (0, clips[12]), (0, clips[19]), (0, clips[5]), (2, clips[1])]
    stored = load(tmp_path, [(stage, clip.key) for stage, clip in wanted])
    for (_, clip), place in zip(wanted, stored, strict=True):
        assert place.shard.parent == tmp_path and place.meta == clip.meta
        there, here = (load_clip(reader, entry, STANDARD_LIMITS) for entry in (clip, place))
        assert np.array_equal(there.frames, here.frames) and np.array_equal(there.masks, here.masks)
        assert np.array_equal(there.waveform, here.waveform)
    assert find(tmp_path).keys() == {(stage, clip.key) for stage, clip in wanted}


def test_ranks_hold_parts_and_what_nobody_holds_is_named(scenes: Path, tmp_path: Path) -> None:
    [first, *_] = read_split(scenes, "train")
    for rank in range(2):
        store(tmp_path, 1, first.clips[rank:4:2], dict(first.names), holder=rank)
    assert find(tmp_path).keys() == {(1, clip.key) for clip in first.clips[:4]}
    assert find(tmp_path, rank=1, world=2).keys() == {(1, clip.key) for clip in first.clips[1:4:2]}
    with pytest.raises(InputError, match=f"does not hold 1 of 2 exemplars \\({first.clips[5].key}\\)"):
        load(tmp_path, [(1, first.clips[0].key), (1, first.clips[5].key)])


def test_what_a_rank_that_is_no_more_began_to_hold_goes(scenes: Path, tmp_path: Path) -> None:
    [first, *_] = read_split(scenes, "train")
    for rank in range(4):
        store(tmp_path, 1, first.clips[rank:8:4], dict(first.names), holder=rank)
    (tmp_path / "stage1-rank3-000000.tar").rename(tmp_path / ".stage1-rank3-000000.tar.tmp")
    discard(tmp_path, 1, world=3)
    assert find(tmp_path).keys() == {(1, clip.key) for n, clip in enumerate(first.clips[:8]) if n % 4 != 3}
    assert not [path.name for path in tmp_path.iterdir() if "rank3" in path.name]


def test_clips_that_are_not_what_their_index_says_are_passed_over(
    scenes: Path, damage: Callable[[Path, str], None], tmp_path: Path
) -> None:
    harmed = shutil.copytree(scenes, tmp_path / "harmed")
    clips = read_split(harmed, "train")[0].clips
    damage(harmed, clips[2].key)
    assert list(readable(clips[:4])) == [clips[0], clips[1], clips[3]]


def test_no_file_stays_open(scenes: Path, tmp_path: Path) -> None:
    [first, *_] = read_split(scenes, "train")
    store(tmp_path, 0, first.clips[:1], dict(first.names))
    before = len(list(Path("/proc/self/fd").iterdir()))
    store(tmp_path, 1, first.clips, dict(first.names))
    assert len(list(Path("/proc/self/fd").iterdir())) == before
