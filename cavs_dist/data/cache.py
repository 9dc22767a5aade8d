"""A bounded cache in RAM of members that are read again and again: exemplars, above all."""

from collections import OrderedDict
from collections.abc import Collection

from cavs_dist.data.shard import ClipEntry, Shard, ShardReader


class CachedReader(ShardReader):
    """A ShardReader that holds the members it used last, at most `limit` bytes of them."""

    def __init__(self, limit: int, most_open: int = 64) -> None:
        super().__init__(most_open)
        self.limit, self.held = limit, 0
        self._members: OrderedDict[tuple[Shard, str, str], bytes] = OrderedDict()

    def read(self, entry: ClipEntry, extensions: Collection[str] | None = None) -> dict[str, bytes]:
        """Return the clip's members (only `extensions`, if given), from RAM where they are there."""
        wanted = entry.members if extensions is None else extensions
        return {extension: self._cached(entry, extension) for extension in wanted}

    def _cached(self, entry: ClipEntry, extension: str) -> bytes:
        place = entry.shard, entry.key, extension
        if place in self._members:
            self._members.move_to_end(place)
            return self._members[place]
        data = super().read(entry, (extension,))[extension]
        if len(data) <= self.limit:
            self._members[place] = data
            self.held += len(data)
        while self.held > self.limit:
            self.held -= len(self._members.popitem(last=False)[1])
        return data
