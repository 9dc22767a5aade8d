import io
import re
import shutil
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cavs_dist.data.check import check
from cavs_dist.data.decode import Limits
from cavs_dist.data.index import read_index, write_index
from cavs_dist.data.remote.address import Address
from cavs_dist.data.remote.catalogue import write_catalogue
from cavs_dist.data.tar import index_shard
from cavs_dist.errors import InputError

NAMES = {1: "guitar", 7: "dog"}


def rewrite(shard: Path, change: Callable[[str, bytes], bytes | None], extra: tuple[str, bytes] | None = None) -> None:
    """Write a tar anew with other bytes for some members (None leaves one out)."""
    with tarfile.open(shard) as tar:
        parts = [(info.name, tar.extractfile(info).read()) for info in tar]  # type: ignore[union-attr]
    changed = [(name, data) for name, old in parts if (data := change(name, old)) is not None]
    with tarfile.open(shard, "w") as tar:
        for name, data in [*changed, *([extra] if extra else [])]:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def keep(name: str, data: bytes) -> bytes:
    return data


def mask_of(number: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((12, 16), number, np.uint8)).save(file, "PNG")
    return file.getvalue()


def found(folder: Path, workers: int = 1) -> set[tuple[str, str | None]]:
    return {(problem.shard.name, problem.key) for problem in check(folder, workers=workers)}


@pytest.mark.parametrize("workers", [1, 2])
def test_a_good_data_set_has_no_problems(data_set: Path, workers: int) -> None:
    assert check(data_set, workers=workers) == ()


def test_every_bad_clip_is_named_and_none_stops_the_rest(data_set: Path) -> None:
    first, second = data_set / "train-000000.tar", data_set / "train-000001.tar"
    bad = {"clip-0.mask.1.png": mask_of(9), "clip-1.frame.0.png": b"no picture", "clip-2.audio.flac": None}
    rewrite(first, lambda name, data: bad.get(name, data), extra=("clip-9.pyd", b"boom"))
    (data_set / "train-000000.json").unlink()
    rewrite(second, keep, extra=("clip-0.json", b"{}"))
    problems = [str(problem) for problem in check(data_set)]
    for shard, key, reason in [
        (first, None, "index .* cannot be read"),
        (first, "clip-1", "bad frame.0: it is no JPEG"),
        (first, "clip-2", "is incomplete: no audio"),
        (first, "clip-9", "'pyd' is not allowed"),
        (second, None, "its sha256 is not"),
        (second, "clip-0", "its json cannot be read: 'frames' is None"),
        (second, "clip-0", "also in train-000000.tar"),
    ]:
        named = f"{shard}: clip {key!r}" if key else str(shard)
        assert any(re.match(f"{named}: .*{reason}", problem) for problem in problems), (named, reason, problems)
    assert len(problems) == 7


def test_unknown_ids_and_classes(data_set: Path) -> None:
    shard = data_set / "train-000000.tar"
    rewrite(shard, lambda name, data: mask_of(9) if name == "clip-0.mask.1.png" else data)
    write_index(index_shard(shard, {1: "drum", 7: "dog"}))
    reasons = {problem.key: problem.reason for problem in check(data_set)}
    assert reasons["clip-0"] == "has mask ids [9], which its shard gives no name"
    assert reasons["clip-1"] == "sounds of ['guitar'], which its shard does not name"
    assert "disagree on the names" in reasons[None]


def test_the_index_must_describe_its_tar(data_set: Path) -> None:
    shard = data_set / "train-000000.tar"
    data = bytearray(shard.read_bytes())
    data[read_index(data_set / "train-000000.json").clips[1].members["frame.1.png"].offset + 60] ^= 1
    shard.write_bytes(data)
    reasons = [problem.reason for problem in check(data_set)]
    assert "its sha256 is not the one in its index: copy or make it again" in reasons
    assert "has frame.1.png not as in the index" in reasons


def test_truncated_missing_and_unindexed_shards(data_set: Path) -> None:
    first, second = data_set / "train-000000.tar", data_set / "train-000001.tar"
    first.write_bytes(first.read_bytes()[:5000])
    shutil.copy(second, data_set / "test-000000.tar")
    second.unlink()
    assert {("train-000000.tar", None), ("train-000001.tar", None), ("test-000000.tar", None)} <= found(data_set)


def test_limits_and_lengths(data_set: Path) -> None:
    assert len(check(data_set, limits=Limits(max_seconds=0.1))) == 5
    shard = data_set / "train-000000.tar"
    rewrite(shard, lambda name, data: data.replace(b'"seconds":0.5', b'"seconds":9.5') if "json" in name else data)
    write_index(index_shard(shard, NAMES))
    assert {problem.reason for problem in check(data_set)} == {"lasts 0.50 s, its json says 9.50 s"}


def test_a_folder_without_shards(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no shards"):
        check(tmp_path)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_good_data_set_on_a_server_has_no_problems(on_server: Address, workers: int) -> None:
    assert check(on_server, workers=workers) == ()
    assert not list(Path(on_server.rules.cache).glob("copy-*"))


def test_problems_on_a_server_are_told_by_its_address(data_set: Path, on_server: Address) -> None:
    shard = data_set / "train-000000.tar"
    clip = read_index(shard.with_suffix(".json")).clips[1]
    content = bytearray(shard.read_bytes())
    content[clip.members["audio.flac"].offset + 8] ^= 1
    shard.write_bytes(content)
    (data_set / "train-000001.json").write_text("nonsense")
    problems = [str(problem) for problem in check(on_server)]
    assert all(problem.startswith(str(on_server)) for problem in problems)
    assert any("000000.tar: clip 'clip-1': has audio.flac not as in the index" in problem for problem in problems)
    assert any(f"000001.tar: index {on_server}/train-000001.json cannot be read" in problem for problem in problems)
    assert any("000001.tar: its index is not the one that shards.json lists" in problem for problem in problems)
    assert str(on_server.rules.cache) not in " ".join(problems)


def test_a_catalogue_that_is_not_up_to_date_is_told_of(data_set: Path) -> None:
    write_catalogue(data_set)
    assert check(data_set) == ()
    index = read_index(data_set / "train-000001.json")
    write_index(replace(index, plan="other"))
    assert found(data_set) == {("shards.json", None)}
