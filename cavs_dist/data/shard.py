"""Read clips from shards by their offsets. Also the front door of the shards: their index, and how they are made."""

import os
import zlib
from collections import OrderedDict
from collections.abc import Collection
from pathlib import Path

from cavs_dist.data.index import (
    ClipEntry,
    Member,
    ShardIndex,
    clip_record,
    parse_clip,
    plain_path,
    read_index,
    read_split,
    write_index,
)
from cavs_dist.data.tar import index_shard
from cavs_dist.data.write import write_shards
from cavs_dist.errors import InputError

__all__ = [
    "BytesReader",
    "ClipEntry",
    "CorruptClip",
    "Member",
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

    def __init__(self, key: str, reason: str, shard: Path | None = None) -> None:
        where = "" if shard is None else f"{shard}: "
        super().__init__(f"{where}clip {key!r} {reason}")
        self.key, self.reason, self.shard = key, reason, shard


class ShardReader:
    """Reads members of clips, and keeps the last few shards open. One for each thread and each worker process."""

    def __init__(self, most_open: int = 64) -> None:
        self._most_open = most_open
        self._open: OrderedDict[Path, int] = OrderedDict()

    def read(self, entry: ClipEntry, extensions: Collection[str] | None = None) -> dict[str, bytes]:
        """Return the clip's members (only `extensions`, if given); CorruptClip if one is not what its CRC-32 says."""
        wanted = entry.members if extensions is None else extensions
        return {extension: self._member(entry, extension) for extension in wanted}

    def close(self) -> None:
        """Close all shards."""
        while self._open:
            os.close(self._open.popitem()[1])

    def _member(self, entry: ClipEntry, extension: str) -> bytes:
        member = entry.members[extension]
        try:
            data = self._bytes(entry, member)
        except OSError as error:
            raise CorruptClip(entry.key, f"cannot be read: {error.strerror}", entry.shard) from None
        if zlib.crc32(data) != member.crc32 or len(data) != member.size:
            raise CorruptClip(entry.key, f"has a damaged member {extension!r}: its checksum is wrong", entry.shard)
        return data

    def _bytes(self, entry: ClipEntry, member: Member) -> bytes:
        return os.pread(self._descriptor(entry), member.size, member.offset)

    def _descriptor(self, entry: ClipEntry) -> int:
        if entry.shard in self._open:
            self._open.move_to_end(entry.shard)
            return self._open[entry.shard]
        while len(self._open) >= self._most_open:
            os.close(self._open.popitem(last=False)[1])
        self._open[entry.shard] = os.open(entry.shard, os.O_RDONLY | os.O_CLOEXEC)
        return self._open[entry.shard]


class BytesReader(ShardReader):
    """Reads the members of one clip from bytes at hand; their offsets count from the first byte."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self._data = data

    def _bytes(self, entry: ClipEntry, member: Member) -> bytes:
        return self._data[member.offset : member.offset + member.size]
