"""What is known of a shard without opening its tar: the index beside it, which is read as untrusted input."""

import json
import os
import re
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeAlias

from cavs_dist.data.clip import IGNORED, ClipMeta, Rejected
from cavs_dist.data.layout import digest, distinct_names, field, parse_meta, refuse_incomplete, refuse_key, whole
from cavs_dist.data.remote.address import Address, is_address, parse_address
from cavs_dist.data.remote.answer import Gone
from cavs_dist.data.remote.catalogue import read_catalogue
from cavs_dist.data.remote.config import RemoteConfig
from cavs_dist.data.remote.file import RemoteFile
from cavs_dist.errors import InputError

FORMAT = 1
LARGEST_FILE = 1 << 62
INDEXES_AT_ONCE = 16  # asked for, of a server
Location: TypeAlias = Path | Address
Shard: TypeAlias = Path | RemoteFile


@dataclass(frozen=True, slots=True)
class Member:
    """Where a member's bytes lie inside the tar, and their CRC-32."""

    offset: int
    size: int
    crc32: int


@dataclass(frozen=True)
class ClipEntry:
    """A clip that lies in `shard` (where the tar is). members: file extension -> Member, `json` included."""

    key: str
    shard: Shard
    meta: ClipMeta
    members: Mapping[str, Member]


@dataclass(frozen=True)
class ShardIndex:
    """All that is known of one shard. path, size, sha256: of the tar. names: mask id -> class name (no 0, no 255).

    rejected: the clips that could not be made. plan: the digest of what it was made from (empty if made elsewhere).
    shards: how many shards the split has (0 if unknown), so that a split that is only half written is noticed.
    """

    path: Shard
    size: int
    sha256: str
    names: Mapping[int, str]
    clips: tuple[ClipEntry, ...]
    rejected: tuple[Rejected, ...] = ()
    plan: str = ""
    shards: int = 0


def plain_path(path: Path | str) -> Path:
    """Return `path`; refuse anything with a scheme (`pipe:`, `http://`, `file:` ...): nothing is fetched or run."""
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", str(path)):
        raise InputError(f"{str(path)!r} is not a plain path: copy the shards to a folder and name that folder")
    return Path(path)


def locate(text: str, rules: RemoteConfig) -> Location:
    """Return the folder that `text` names; InputError for an address that `rules` do not allow."""
    return parse_address(text, rules) if is_address(text) else plain_path(text)


def index_path(shard: Path) -> Path:
    """Return where the index of `shard` (a tar) lies."""
    return shard.with_suffix(".json")


def splits_in(folder: Location) -> tuple[str, ...]:
    """Return the names of the splits that have shards or indexes in `folder`: train, val and test first."""
    matches = (re.fullmatch(r"([^.].*)-[0-9]+\.(?:tar|json)", name) for name in _names(folder))
    first = {"train": 0, "val": 1, "test": 2}
    return tuple(sorted({match[1] for match in matches if match}, key=lambda name: (first.get(name, 3), name)))


def split_files(folder: Path, split: str, suffix: str) -> list[Path]:
    """Return the files `<split>-<number><suffix>` of `folder`, in order."""
    return [folder / name for name in sorted(_names(folder)) if _is_of_split(name, split, suffix)]


def remote_indexes(folder: Address, split: str) -> list[RemoteFile]:
    """Return the indexes of a split that lies on a server, in order."""
    return [file for name, file in read_catalogue(folder).items() if _is_of_split(name, split, ".json")]


def _names(folder: Location) -> list[str]:
    if isinstance(folder, Address):
        return list(read_catalogue(folder))
    return [path.name for path in plain_path(folder).glob("*")]


def _is_of_split(name: str, split: str, suffix: str) -> bool:
    return re.fullmatch(re.escape(split) + "-[0-9]+" + re.escape(suffix), name) is not None


def read_split(folder: Location, split: str, *, damaged: bool = False) -> tuple[ShardIndex, ...]:
    """Read the indexes of all shards of a split, sorted by name.

    InputError if there are none, one is missing or broken, they disagree on the names of classes, or a key comes twice;
    and if a tar is missing or not of its size, unless `damaged` leaves that to whoever reads its clips, which is always
    so on a server.
    """
    if isinstance(folder, Address):
        with ThreadPoolExecutor(INDEXES_AT_ONCE) as pool:
            indexes = tuple(pool.map(read_remote_index, remote_indexes(folder, split)))
    else:
        indexes = tuple(read_index(path, damaged=damaged) for path in _indexes(folder, split))
    if not indexes:
        found = ", ".join(splits_in(folder)) or "no shards at all"
        raise InputError(f"{folder} has no shards {split}-000000.tar ...: found {found}; set data.path to a data set")
    refuse_disagreement(indexes)
    refuse_duplicates(clip for index in indexes for clip in index.clips)
    return indexes


def _indexes(folder: Path, split: str) -> list[Path]:
    indexed, shards = split_files(folder, split, ".json"), split_files(folder, split, ".tar")
    bare = [shard for shard in shards if index_path(shard) not in set(indexed)]
    if bare:
        raise InputError(f"{bare[0]} has no index: make the shard again, or index it with `cavs-dist data index`")
    return indexed


def refuse_disagreement(indexes: tuple[ShardIndex, ...]) -> None:
    """Raise InputError unless these are all the shards of one split, with the same names of classes."""
    first, announced = indexes[0], max(index.shards for index in indexes)
    if announced and len(indexes) != announced:
        where = first.path.parent
        raise InputError(f"{where} has {len(indexes)} of {announced} such shards as {first.path.name}: make the rest")
    for index in indexes:
        if index.names != first.names:
            raise InputError(f"{index.path} and {first.path} disagree on the names of classes: make the split again")


def refuse_duplicates(clips: Iterable[ClipEntry]) -> None:
    """Raise InputError if two clips have the same key."""
    seen: dict[str, Shard] = {}
    for clip in clips:
        if clip.key in seen:
            raise InputError(f"clip {clip.key!r} is in {seen[clip.key]} and again in {clip.shard}: keys must be unique")
        seen[clip.key] = clip.shard


def read_index(path: Path, *, damaged: bool = False) -> ShardIndex:
    """Read the index of one tar (`path`: of its json); unless it may be `damaged`, compare the tar's size with it."""
    try:
        data = plain_path(path).read_bytes()
    except OSError as error:
        raise InputError(f"index {path} cannot be read: {error}") from None
    index = _parse_index(path, data)
    tar = path.with_suffix(".tar")
    found = tar.stat().st_size if tar.is_file() else None
    if found != index.size and not damaged:
        state = "is missing" if found is None else f"has {found} bytes"
        raise InputError(f"shard {tar} {state}, its index says {index.size} bytes: copy or make it again")
    return index


def read_remote_index(file: RemoteFile) -> ShardIndex:
    """Read the index of one tar on a server (`file`: its json); the tar is asked for when its clips are."""
    try:
        return _parse_index(file.address, file.whole())
    except Gone as error:
        raise InputError(f"index {file} cannot be read: {error.reason}; copy the folder to the server again") from None


def write_index(index: ShardIndex) -> Path:
    """Write the index beside its tar, whole or not at all."""
    assert isinstance(index.path, Path), "only what lies on a disk is written"
    path = index_path(index.path)
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("w") as file:
        file.write(json.dumps(_record(index), separators=(",", ":")))
        file.flush()
        os.fsync(file.fileno())
    return temporary.replace(path)


def clip_record(clip: ClipEntry) -> dict[str, object]:
    """Return what an index says of a clip, as plain values; `parse_clip` reads it back."""
    members = {name: [one.offset, one.size, one.crc32] for name, one in clip.members.items()}
    return {"key": clip.key, "meta": asdict(clip.meta), "members": members}


def _record(index: ShardIndex) -> dict[str, object]:
    clips = [clip_record(clip) for clip in index.clips]
    return {
        "format": FORMAT,
        "shard": index.path.name,
        "size": index.size,
        "count": len(clips),
        "sha256": index.sha256,
        "names": {str(number): name for number, name in index.names.items()},
        "plan": index.plan,
        "shards": index.shards,
        "rejected": [[one.key, one.reason] for one in index.rejected],
        "clips": clips,
    }


def _parse_index(path: Path | Address, data: bytes) -> ShardIndex:
    try:
        return _parse_record(path, json.loads(data))
    except InputError as error:
        raise InputError(f"index {path}: {error}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"index {path} cannot be read: {error}") from None


def _parse_record(path: Path | Address, record: object) -> ShardIndex:
    version = whole(field(record, "format", int), 1, LARGEST_FILE, "format")
    if version > FORMAT:
        raise InputError(f"format {version} is newer than {FORMAT}, the newest this version reads: update cavs_dist")
    name = path.name.removesuffix(".json") + ".tar"
    if field(record, "shard", str) != name:
        raise InputError(f"it describes {field(record, 'shard', str)[:60]!r}, expected {name!r}")
    size = whole(field(record, "size", int), 0, LARGEST_FILE, "size")
    sha256 = digest(field(record, "sha256", str))
    shard = path.parent / name if isinstance(path, Path) else RemoteFile(path.parent / name, size, sha256)
    clips = tuple(parse_clip(shard, size, clip) for clip in field(record, "clips", list))
    if field(record, "count", int) != len(clips):
        raise InputError(f"'count' is {field(record, 'count', int)}, but {len(clips)} clips are listed")
    refuse_duplicates(clips)
    return ShardIndex(
        path=shard,
        size=size,
        sha256=sha256,
        names=parse_names(field(record, "names", dict)),
        clips=clips,
        rejected=tuple(_parse_rejected(pair) for pair in field(record, "rejected", list)),
        plan=field(record, "plan", str),
        shards=whole(field(record, "shards", int), 0, LARGEST_FILE, "shards"),
    )


def parse_names(record: Mapping[str, object]) -> dict[int, str]:
    """Read the names of mask ids: {"1": "guitar"}, ids 1..254, sorted by id."""
    numbers = [int(text) if re.fullmatch("[1-9][0-9]{0,2}", text) else text for text in record]
    ids = [whole(number, 1, IGNORED - 1, "names") for number in numbers]
    names = distinct_names(list(record.values()), "names")
    return dict(sorted(zip(ids, names, strict=True)))


def parse_clip(shard: Shard, size: int, record: object) -> ClipEntry:
    """Read what an index says of a clip in `shard`, of `size` bytes. Raises InputError where that cannot be."""
    key = field(record, "key", str)
    refuse_key(key)
    try:
        meta = parse_meta(field(record, "meta", dict))
        members = {name: _parse_member(place, size) for name, place in field(record, "members", dict).items()}
        refuse_incomplete(meta, members)
    except InputError as error:
        raise InputError(f"clip {key!r}: {error}") from None
    return ClipEntry(key, shard, meta, members)


def _parse_member(place: object, size: int) -> Member:
    if not isinstance(place, list) or len(place) != 3:
        raise InputError(f"'members' holds {repr(place)[:60]}, expected [offset, size, crc32]")
    offset = whole(place[0], 0, size, "offset")
    return Member(offset, whole(place[1], 0, size - offset, "size"), whole(place[2], 0, 0xFFFFFFFF, "crc32"))


def _parse_rejected(pair: object) -> Rejected:
    if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(text, str) for text in pair):
        raise InputError(f"'rejected' holds {repr(pair)[:60]}, expected [key, reason]")
    return Rejected(*pair)
