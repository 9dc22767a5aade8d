"""What really lies in a shard's tar, told by the tar alone: how an index is made and how it is checked."""

import hashlib
import json
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from cavs_dist.data.clip import ClipMeta
from cavs_dist.data.index import ClipEntry, Location, Member, ShardIndex, plain_path
from cavs_dist.data.layout import parse_meta, refuse_extension, refuse_incomplete, refuse_key
from cavs_dist.errors import InputError

BLOCK = tarfile.BLOCKSIZE
LARGEST_JSON = 1 << 20


@dataclass(frozen=True)
class Problem:
    """Something wrong with a shard, or with one clip in it (key None: with the shard as a whole)."""

    shard: Location
    key: str | None
    reason: str

    def __str__(self) -> str:
        where = f"{self.shard}: " if self.key is None else f"{self.shard}: clip {self.key!r}: "
        return where + self.reason


@dataclass(frozen=True)
class Contents:
    """The clips of a tar that are whole and well named, and what is wrong with the rest."""

    clips: tuple[ClipEntry, ...]
    problems: tuple[Problem, ...]


def index_shard(tar: Path, names: Mapping[int, str]) -> ShardIndex:
    """Make the index of a tar that was made elsewhere (`write_index` writes it).

    names: mask id -> class name. InputError names the first thing in the tar that may not be there, or is missing.
    """
    contents = read_tar(plain_path(tar))
    if contents.problems:
        more = f" (and {len(contents.problems) - 1} more)" if len(contents.problems) > 1 else ""
        raise InputError(f"{contents.problems[0]}{more}")
    return ShardIndex(tar, tar.stat().st_size, sha256(tar), dict(names), contents.clips)


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_tar(shard: Path) -> Contents:
    """Walk through a tar, member by member, and say what it holds and everything that is wrong with it."""
    walk = _Walk(shard)
    try:
        with shard.open("rb") as file:
            for info in _members(file):
                walk.take(info, file)
    # The bytes come from outside: a header can announce 10^24 bytes, and `tarfile` raises more than its own errors.
    except Exception as error:
        walk.report(None, f"cannot be read to its end: {error}")
    clips = tuple(clip for key in walk.members if (clip := walk.clip(key)))
    return Contents(clips, tuple(walk.problems))


def _members(file: BinaryIO) -> Iterator[tarfile.TarInfo]:
    """Yield a tar's members; ReadError unless the mark that ends an archive follows the last.

    `tarfile` takes a cut between two members, or a broken header, for the end.
    """
    end = 0
    with tarfile.open(fileobj=file, mode="r:") as tar:
        for info in tar:
            if info.size < 0 or info.offset < end:
                raise tarfile.ReadError("a header points backwards")
            end = info.offset_data + -(-info.size // BLOCK) * BLOCK
            yield info
    file.seek(end)
    if file.read(BLOCK) != bytes(BLOCK):
        raise tarfile.ReadError(f"no end mark at byte {end}: it was cut, or a header is broken")


class _Walk:
    """What has been found so far: the members of each key, in order, and the problems."""

    def __init__(self, shard: Path) -> None:
        self.shard = shard
        self.members: dict[str, dict[str, Member]] = {}
        self.texts: dict[str, bytes] = {}
        self.problems: list[Problem] = []
        self.spoilt: set[str] = set()
        self.last = ""

    def report(self, key: str | None, reason: str) -> None:
        self.problems.append(Problem(self.shard, key, reason))
        self.spoilt.add(key or "")

    def take(self, info: tarfile.TarInfo, file: BinaryIO) -> None:
        key, _, extension = info.name.partition(".")
        try:
            _refuse_member(info)
            refuse_key(key)
            if key in self.members and key != self.last:
                raise InputError("its members do not lie together: another clip's come between")
            members = self.members.setdefault(key, {})
            self.last = key
            refuse_extension(extension)
            if extension in members:
                raise InputError(f"member {extension!r} comes twice")
            members[extension] = Member(info.offset_data, info.size, _crc32(file, info))
            if extension == "json":
                self.texts[key] = _text(file, info)
        except InputError as error:
            self.report(key, str(error))

    def clip(self, key: str) -> ClipEntry | None:
        """Return the clip if nothing is wrong with it, and report it otherwise."""
        if key in self.spoilt:
            return None
        try:
            meta = _meta(self.texts.get(key))
            refuse_incomplete(meta, self.members[key])
        except InputError as error:
            self.report(key, str(error))
            return None
        return ClipEntry(key, self.shard, meta, self.members[key])


def _refuse_member(info: tarfile.TarInfo) -> None:
    if info.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or info.issparse():
        raise InputError(f"{info.name[:60]!r} is not a regular file: no folders, links or devices in a shard")
    if "/" in info.name or "\\" in info.name:
        raise InputError(f"{info.name[:60]!r} is a path: members lie at the top of a shard, as KEY.EXTENSION")


def _text(file: BinaryIO, info: tarfile.TarInfo) -> bytes:
    if info.size > LARGEST_JSON:
        raise InputError(f"its json has {info.size} bytes, at most {LARGEST_JSON} are read")
    file.seek(info.offset_data)
    return file.read(info.size)


def _meta(text: bytes | None) -> ClipMeta:
    if text is None:
        raise InputError("is incomplete: no json")
    try:
        return parse_meta(json.loads(text))
    except (ValueError, RecursionError) as error:
        raise InputError(f"its json cannot be read: {error}") from None


def _crc32(file: BinaryIO, info: tarfile.TarInfo) -> int:
    file.seek(info.offset_data)
    checksum, left = 0, info.size
    while left:
        part = file.read(min(left, 1 << 20))
        if not part:
            raise tarfile.ReadError("it was cut in the middle of a member")
        checksum, left = zlib.crc32(part, checksum), left - len(part)
    return checksum
