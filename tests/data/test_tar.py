import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from cavs_dist.data.index import read_index
from cavs_dist.data.tar import index_shard, read_tar
from cavs_dist.errors import InputError

NAMES = {1: "guitar", 7: "dog"}
Parts = list[tuple[tarfile.TarInfo, bytes]]


def parts_of(shard: Path) -> Parts:
    with tarfile.open(shard) as tar:
        return [(info, tar.extractfile(info).read()) for info in tar]  # type: ignore[union-attr]


def write(path: Path, parts: Parts) -> Path:
    with tarfile.open(path, "w") as tar:
        for info, data in parts:
            tar.addfile(info, io.BytesIO(data))
    return path


def member(name: str, data: bytes = b"x", kind: bytes = tarfile.REGTYPE) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, "/etc/passwd", len(data) if kind == tarfile.REGTYPE else 0
    return info, data


def test_a_tar_made_elsewhere_gets_the_same_index(data_set: Path, tmp_path: Path) -> None:
    ours = read_index(data_set / "train-000000.json")
    again = index_shard(write(tmp_path / "made-1.tar", parts_of(ours.path)), NAMES)
    assert [clip.key for clip in again.clips] == [clip.key for clip in ours.clips]
    for mine, other in zip(ours.clips, again.clips, strict=True):
        assert mine.meta == other.meta
        assert {name: one.crc32 for name, one in mine.members.items()} == {
            name: one.crc32 for name, one in other.members.items()
        }


REFUSED: dict[str, tuple[Callable[[Parts], Parts], str]] = {
    "pickle": (lambda parts: [*parts, member("clip-2.pyd")], "'pyd' is not allowed"),
    "npz": (lambda parts: [*parts, member("clip-2.feature.x.npz")], "not allowed"),
    "link": (lambda parts: [*parts, member("clip-2.mask.2.png", kind=tarfile.SYMTYPE)], "not a regular file"),
    "device": (lambda parts: [*parts, member("clip-2.mask.2.png", kind=tarfile.CHRTYPE)], "not a regular file"),
    "folder": (lambda parts: [member("clips", kind=tarfile.DIRTYPE), *parts], "not a regular file"),
    "absolute": (lambda parts: [*parts, member("/clip-2.json")], "is a path"),
    "parent": (lambda parts: [*parts, member("../clip-2.json")], "is a path"),
    "interleaved": (lambda parts: [*parts[1:], parts[0]], "do not lie together"),
    "twice": (lambda parts: [*parts, parts[-1]], "comes twice"),
    "two formats": (lambda parts: [*parts, member("clip-2.frame.0.jpg")], "the same thing twice"),
    "no frame": (lambda parts: [one for one in parts if one[0].name != "clip-1.frame.1.png"], "no frame.1"),
    "no json": (lambda parts: [one for one in parts if one[0].name != "clip-1.json"], "no json"),
    "broken json": (lambda parts: [*parts, member("x.json", b"[" * 100_000)], "json cannot be read"),
    "huge json": (lambda parts: [*parts, member("x.json", b" " * (1 << 21))], "2097152 bytes"),
    "empty key": (lambda parts: [*parts, member(".json")], "printable"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(data_set: Path, tmp_path: Path, name: str) -> None:
    change, message = REFUSED[name]
    path = write(tmp_path / "made-1.tar", change(parts_of(data_set / "train-000000.tar")))
    with pytest.raises(InputError, match=message):
        index_shard(path, NAMES)


@pytest.mark.parametrize("kind", [b"x", b"L", b"S", b"9", tarfile.REGTYPE])
@pytest.mark.parametrize("size", [-(1 << 40), 1 << 40, 1 << 80])
def test_a_header_that_announces_anything(tmp_path: Path, kind: bytes, size: int) -> None:
    info = tarfile.TarInfo("clip-0.json")
    info.type, info.size = kind, size
    header = info.tobuf(tarfile.GNU_FORMAT)
    path = tmp_path / "made-1.tar"
    path.write_bytes(header + bytes(1024))
    with pytest.raises(InputError, match=r"made-1.tar"):
        index_shard(path, NAMES)


@pytest.mark.parametrize("cut", ["between members", "in a member", "in a header", "a broken header", "no tar"])
def test_a_cut_tar_is_noticed(data_set: Path, cut: str) -> None:
    shard = data_set / "train-000000.tar"
    with tarfile.open(shard) as tar:
        offset = tar.getmembers()[12].offset
    data = shard.read_bytes()
    shard.write_bytes(
        {
            "between members": data[:offset],
            "in a member": data[: offset + 520],
            "in a header": data[: offset + 100],
            "a broken header": data[:offset] + b"\xff" + data[offset + 1 :],
            "no tar": b"plain text, no tar at all",
        }[cut]
    )
    contents = read_tar(shard)
    assert any("cannot be read to its end" in problem.reason for problem in contents.problems)
    with pytest.raises(InputError, match=r"train-000000.tar"):
        index_shard(shard, NAMES)
