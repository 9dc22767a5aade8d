from pathlib import Path

import pytest

from cavs_dist.data.cache import CachedReader
from cavs_dist.data.shard import ClipEntry, CorruptClip, ShardReader, read_split


@pytest.fixture
def clips(scenes: Path) -> list[ClipEntry]:
    return [clip for index in read_split(scenes, "train") for clip in index.clips][:4]


def test_it_gives_what_the_shard_holds_and_reads_it_once(clips: list[ClipEntry], tmp_path: Path) -> None:
    copy = tmp_path / clips[0].shard.name
    copy.write_bytes(clips[0].shard.read_bytes())
    clip = ClipEntry(clips[0].key, copy, clips[0].meta, clips[0].members)
    cached = CachedReader(1 << 20)
    assert cached.read(clip) == cached.read(clip, list(clip.members)) == ShardReader().read(clips[0])
    copy.write_bytes(bytes(copy.stat().st_size))
    assert cached.read(clip) == ShardReader().read(clips[0])
    with pytest.raises(CorruptClip):
        CachedReader(0).read(clip)
    cached.close()


def test_what_was_used_longest_ago_goes_first_and_the_limit_holds(clips: list[ClipEntry]) -> None:
    zero, one, two = (clip.members["audio.flac"].size for clip in clips[:3])
    cached = CachedReader(zero + max(one, two))
    for clip in (clips[0], clips[1], clips[0], clips[2]):
        cached.read(clip, ["audio.flac"])
        assert cached.held <= cached.limit
    assert [key for _, key, _ in cached._members] == [clips[0].key, clips[2].key]
    assert cached.held == zero + two


def test_a_member_larger_than_the_limit_is_not_held(clips: list[ClipEntry]) -> None:
    cached = CachedReader(10)
    assert cached.read(clips[0]) == ShardReader().read(clips[0])
    assert cached.held <= 10
