import os
import subprocess
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
from loopback import Loopback

from cavs_dist.data.remote.address import Address
from cavs_dist.data.shard import CorruptClip, ShardReader, read_split
from cavs_dist.errors import InputError


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


def test_clips_on_a_server_are_those_on_disk(data_set: Path, on_server: Address, server: Loopback) -> None:
    reader = ShardReader()
    there, here = read_split(on_server, "train"), read_split(data_set, "train")
    server.asked.clear()
    for far, near in zip(there, here, strict=True):
        for one, other in zip(far.clips, near.clips, strict=True):
            assert replace(one, shard=other.shard) == other
            assert reader.read(one) == reader.read(other)
            assert reader.read(one, ["audio.flac"]) == reader.read(other, ["audio.flac"])
    assert len(server.asked) == 2  # a shard of less than a block, whole
    reader.close()


@pytest.mark.parametrize("fault", ["flip", "404", "416", "resized"])
def test_damage_on_the_way_is_mended_by_asking_again(on_server: Address, server: Loopback, fault: str) -> None:
    clip = read_split(on_server, "train")[0].clips[1]
    server.asked.clear()
    server.faults.append(fault)
    assert len(ShardReader().read(clip)) == len(clip.members) == len(ShardReader().read(clip))
    assert len(server.asked) == 2


def test_damage_on_the_server_is_a_corrupt_clip(data_set: Path, on_server: Address, server: Loopback) -> None:
    clip, other = (index.clips[-1] for index in read_split(on_server, "train"))
    tar = data_set / "train-000000.tar"
    content = bytearray(tar.read_bytes())
    content[clip.members["audio.flac"].offset] ^= 1
    tar.write_bytes(content)
    (data_set / "train-000001.tar").unlink()
    server.asked.clear()
    with pytest.raises(CorruptClip, match=rf"{server.url}.*-000000.tar: clip 'clip-2' has a damaged member 'audio.f"):
        ShardReader().read(clip)
    with pytest.raises(CorruptClip, match=r"clip 'clip-4' cannot be read: the server has no such file \(404\)"):
        ShardReader().read(other)
    assert len(server.asked) == 4


def test_a_rotten_block_in_the_cache_is_mended(data_set: Path, on_server: Address) -> None:
    clip = read_split(on_server, "train")[0].clips[0]
    good = ShardReader().read(clip)
    for block in Path(on_server.rules.cache).glob(f"{clip.shard.sha256}-*"):  # type: ignore[union-attr]
        block.write_bytes(bytes(block.stat().st_size))
    assert ShardReader().read(clip) == good == ShardReader().read(clip)


def test_a_silent_server_is_not_the_clip_s_fault(on_server: Address, server: Loopback) -> None:
    clip = read_split(on_server, "train")[0].clips[0]
    server.always[".tar"] = "500"
    with pytest.raises(InputError, match="3 times over") as caught:
        ShardReader().read(clip)
    assert not isinstance(caught.value, CorruptClip)
