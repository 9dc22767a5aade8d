import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from cavs_dist.data.shard import CorruptClip, ShardReader, read_split


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_members_are_read_where_they_lie(data_set: Path) -> None:
    reader = ShardReader()
    for index in read_split(data_set, "train"):
        with tarfile.open(index.path) as tar:
            for clip in index.clips:
                expected = {name: tar.extractfile(f"{clip.key}.{name}").read() for name in clip.members}  # type: ignore[union-attr]
                assert reader.read(clip) == expected
                assert reader.read(clip, ["json"]) == {"json": expected["json"]}
    reader.close()


def test_a_flipped_bit_is_an_error_that_names_shard_and_clip(data_set: Path) -> None:
    clip = read_split(data_set, "train")[0].clips[1]
    place = clip.members["mask.1.png"]
    data = bytearray(clip.shard.read_bytes())
    data[place.offset + place.size // 2] ^= 1
    clip.shard.write_bytes(data)
    reader = ShardReader()
    assert len(reader.read(clip, ["json", "audio.flac"])) == 2
    with pytest.raises(
        CorruptClip, match=r"train-000000.tar: clip 'clip-1' has a damaged member 'mask.1.png'"
    ) as caught:
        reader.read(clip)
    assert (caught.value.shard, caught.value.key) == (clip.shard, "clip-1")
    reader.close()


def test_a_shard_that_shrinks_or_goes_is_an_error(data_set: Path) -> None:
    first, second = (index.clips[-1] for index in read_split(data_set, "train"))
    os.truncate(first.shard, first.members["json"].offset)
    second.shard.unlink()
    reader = ShardReader()
    with pytest.raises(CorruptClip, match="clip-2"):
        reader.read(first)
    with pytest.raises(CorruptClip, match="No such file"):
        reader.read(second)
    reader.close()


def test_few_files_stay_open(data_set: Path) -> None:
    clips = [index.clips[0] for index in read_split(data_set, "train")] * 3
    before = open_files()
    reader = ShardReader(most_open=1)
    for clip in clips:
        reader.read(clip, ["json"])
        assert open_files() == before + 1
    reader.close()
    assert open_files() == before


def test_reading_and_rendering_processes_do_without_torch() -> None:
    code = "import sys, cavs_dist.data.decode; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
