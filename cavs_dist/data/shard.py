"""Read clips from shards by their offsets. Also the front door of the shards: their index, and how they are made."""

import os
import zlib
from collections import OrderedDict
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path

from cavs_dist.data.index import (
    ClipEntry,
    Member,
    Shard,
    ShardIndex,
    clip_record,
    parse_clip,
    plain_path,
    read_index,
    read_split,
    write_index,
)
from cavs_dist.data.remote.answer import Gone
from cavs_dist.data.remote.file import RemoteFile
from cavs_dist.data.tar import index_shard
from cavs_dist.data.write import write_shards
from cavs_dist.errors import InputError

__all__ = [
    "BytesReader",
    "ClipEntry",
    "CorruptClip",
    "Member",
    "Shard",
    "ShardIndex",
    "ShardReader",
    "clip_record",
    "index_shard",
    "parse_clip",
    "plain_path",
    "read_index",
    "read_split",
    "write_index",
    "write_shards",
]


class CorruptClip(InputError):
    """A clip's bytes are not what the index says, or do not decode. `shard` is None where only the bytes are known."""

    def __init__(self, key: str, reason: str, shard: Shard | None = None) -> None:
        where = "" if shard is None else f"{shard}: "
        super().__init__(f"{where}clip {key!r} {reason}")
        self.key, self.reason, self.shard = key, reason, shard


class ShardReader:
    """Reads members of clips, and keeps the last few shards open. One for each thread and each worker process."""

    def __init__(self, most_open: int = 64) -> None:
        self._most_open = most_open
        self._open: OrderedDict[Path, int] = OrderedDict()

    def read(self, entry: ClipEntry, extensions: Collection[str] | None = None) -> dict[str, bytes]:
        """Return the clip's members (only `extensions`, if given); CorruptClip if one is not what its CRC-32 says.

        What a server sends damaged, or has not, is asked for once more, past the cache: it may have happened on the
        way. InputError where a server does not answer, which is not the clip's fault.
        """
        wanted = tuple(entry.members if extensions is None else extensions)
        members = [entry.members[extension] for extension in wanted]
        try:
            data = self._bytes(entry, members)
        except (OSError, Gone) as error:
            reason = error.reason if isinstance(error, Gone) else error.strerror
            raise CorruptClip(entry.key, f"cannot be read: {reason}", entry.shard) from None
        for extension, member, content in zip(wanted, members, data, strict=True):
            if not _is_whole(member, content):
                raise CorruptClip(entry.key, f"has a damaged member {extension!r}: its checksum is wrong", entry.shard)
        return dict(zip(wanted, data, strict=True))

    def close(self) -> None:
        """Close all shards."""
        while self._open:
            os.close(self._open.popitem()[1])

    def _bytes(self, entry: ClipEntry, members: Sequence[Member]) -> list[bytes]:
        if isinstance(entry.shard, RemoteFile):
            return _asked(entry.shard, members)
        shard = self._descriptor(entry.shard)
        return [os.pread(shard, member.size, member.offset) for member in members]

    def _descriptor(self, shard: Path) -> int:
        if shard in self._open:
            self._open.move_to_end(shard)
            return self._open[shard]
        while len(self._open) >= self._most_open:
            os.close(self._open.popitem(last=False)[1])
        self._open[shard] = os.open(shard, os.O_RDONLY | os.O_CLOEXEC)
        return self._open[shard]


def _asked(shard: RemoteFile, members: Sequence[Member]) -> list[bytes]:
    ranges = [(member.offset, member.size) for member in members]
    with suppress(Gone):
        data = shard.read(ranges)
        if all(map(_is_whole, members, data)):
            return data
    return shard.read(ranges, fresh=True)


def _is_whole(member: Member, data: bytes) -> bool:
    return len(data) == member.size and zlib.crc32(data) == member.crc32


class BytesReader(ShardReader):
    """Reads the members of one clip from bytes at hand; their offsets count from the first byte."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self._data = data

    def _bytes(self, entry: ClipEntry, members: Sequence[Member]) -> list[bytes]:
        return [self._data[member.offset : member.offset + member.size] for member in members]
