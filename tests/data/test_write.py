from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import webdataset as wds

from cavs_dist.data.clip import Clip, Encoded, Rejected
from cavs_dist.data.decode import encode_clip
from cavs_dist.data.index import read_split, write_index
from cavs_dist.data.tar import index_shard
from cavs_dist.data.write import write_shards
from cavs_dist.errors import InputError

NAMES = {1: "dog"}


def make(number: int, *, fatal: int = -1, long: bool = False) -> Encoded | Rejected:
    if number == fatal:
        raise RuntimeError("killed here")
    if number % 4 == 3:
        return Rejected(f"clip-{number}", "no sound")
    pixels = np.full((1, 4, 4), number, np.uint8)
    key = f"clip-{number:04d}" + "é" * 190 * long
    clip = Clip(
        key, pixels[..., None].repeat(3, -1), pixels % 2, np.ones(1, bool), np.zeros(80, np.float32), 8000, ("dog",)
    )
    return encode_clip(clip, frame_format="png")


@pytest.fixture
def secure() -> Iterator[None]:
    wds.utils.enforce_security, before = True, wds.utils.enforce_security
    yield
    wds.utils.enforce_security = before


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_webdataset_finds_the_same_clips(tmp_path: Path, secure: None) -> None:
    write_shards(tmp_path, "train", range(5), partial(make, long=True), NAMES, clips_per_shard=3)
    clips = [clip for index in read_split(tmp_path, "train") for clip in index.clips]
    samples = list(wds.WebDataset([str(index.path) for index in read_split(tmp_path, "train")], shardshuffle=False))
    assert [sample["__key__"] for sample in samples] == [clip.key for clip in clips]
    for clip, sample in zip(clips, samples, strict=True):
        assert {name for name in sample if not name.startswith("__")} == clip.members.keys()
        data = clip.shard.read_bytes()
        for name, member in clip.members.items():
            assert sample[name] == data[member.offset : member.offset + member.size]


def test_the_bytes_do_not_depend_on_workers(tmp_path: Path) -> None:
    rejected = [
        write_shards(tmp_path / str(workers), "train", range(40), make, NAMES, clips_per_shard=7, workers=workers)
        for workers in (1, 2)
    ]
    assert contents(tmp_path / "1") == contents(tmp_path / "2")
    assert len(contents(tmp_path / "1")) == 12
    assert rejected[0] == rejected[1] == tuple(Rejected(f"clip-{n}", "no sound") for n in range(3, 40, 4))


def test_a_killed_run_goes_on_where_it_was(tmp_path: Path) -> None:
    write_shards(tmp_path / "whole", "train", range(12), make, NAMES, clips_per_shard=4)
    killed = tmp_path / "killed"
    with pytest.raises(RuntimeError):
        write_shards(killed, "train", range(12), partial(make, fatal=6), NAMES, clips_per_shard=4)
    assert [path.name for path in killed.iterdir() if path.suffix == ".tar"] == ["train-000000.tar"]
    with pytest.raises(InputError, match="1 of 3"):
        read_split(killed, "train")
    before = (killed / "train-000000.tar").stat()
    rejected = write_shards(killed, "train", range(12), partial(make, fatal=1), NAMES, clips_per_shard=4)
    after = (killed / "train-000000.tar").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert contents(killed) == contents(tmp_path / "whole")
    assert len(rejected) == 3


def test_another_plan_replaces_everything_of_its_split(tmp_path: Path) -> None:
    write_shards(tmp_path, "test", range(2), make, NAMES)
    write_shards(tmp_path, "train", range(12), make, NAMES, clips_per_shard=4)
    (tmp_path / ".train-000009.tar.tmp").write_bytes(b"half")
    write_shards(tmp_path, "train", range(2), make, NAMES, plan="other seed")
    assert [*contents(tmp_path)] == ["test-000000.json", "test-000000.tar", "train-000000.json", "train-000000.tar"]
    assert [clip.key for index in read_split(tmp_path, "train") for clip in index.clips] == ["clip-0000", "clip-0001"]


def test_shards_made_elsewhere_are_not_removed(tmp_path: Path) -> None:
    write_shards(tmp_path, "train", range(2), make, NAMES)
    write_index(index_shard(tmp_path / "train-000000.tar", NAMES))
    for remaining in (2, 1):
        assert len(contents(tmp_path)) == remaining
        with pytest.raises(InputError, match="was made elsewhere"):
            write_shards(tmp_path, "train", range(2), make, NAMES)
        (tmp_path / "train-000000.json").unlink(missing_ok=True)


def test_what_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="clip-0000"):
        write_shards(tmp_path, "train", [0, 0], make, NAMES)
    with pytest.raises(InputError, match="name of a split"):
        write_shards(tmp_path, "../train", [0], make, NAMES)
    with pytest.raises(InputError, match="names"):
        write_shards(tmp_path, "train", [0], make, {255: "dog"})
    with pytest.raises(InputError, match="not a plain path"):
        write_shards(Path("pipe:cat"), "train", [0], make, NAMES)


def test_no_clips_at_all(tmp_path: Path) -> None:
    assert write_shards(tmp_path, "train", [3, 7], make, NAMES) == (make(3), make(7))
    assert read_split(tmp_path, "train")[0].clips == ()
    assert write_shards(tmp_path, "train", [], make, NAMES) == ()
    assert contents(tmp_path) == {}
