"""Files on a server, read by ranges through the node's cache."""

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from typing import TypeAlias

from cavs_dist.data.remote.address import Address
from cavs_dist.data.remote.answer import Gone
from cavs_dist.data.remote.blocks import BlockCache, private_folder
from cavs_dist.data.remote.config import RemoteConfig
from cavs_dist.data.remote.server import Server
from cavs_dist.errors import InputError

# What is asked for and kept at once: clips are read in an order that soon comes back to a clip's neighbours.
BLOCK = 1 << 20
BLOCKS_PER_REQUEST = 16
Piece: TypeAlias = tuple[int, bytes]  # bytes of a file, and where the first of them lies


@dataclass(frozen=True)
class RemoteFile:
    """A file on a server that is known by its size and the SHA-256 of its bytes, whatever its address."""

    address: Address
    size: int
    sha256: str

    def __str__(self) -> str:
        return str(self.address)

    @property
    def name(self) -> str:
        """The file's name."""
        return self.address.name

    @property
    def parent(self) -> Address:
        """The folder that it lies in."""
        return self.address.parent

    def read(self, ranges: Sequence[tuple[int, int]], *, fresh: bool = False) -> list[bytes]:
        """Return the bytes of each (offset, size); `fresh` from the server itself, past the cache, which is mended.

        Neighbouring blocks that are not in the cache are asked for at once. Gone where the file is no more, or of
        another size; InputError where the server does not send it. That it is what was wanted, the caller checks.
        """
        spans = _spans(ranges)
        found = {} if fresh else dict(self._kept(spans))
        for run in _runs([number for number in sorted(spans) if number not in found]):
            found |= self._ask(run)
        return [_cut(found, first, size) for first, size in ranges]

    def whole(self) -> bytes:
        """Return all of it; Gone or InputError where it is not there, or not what its SHA-256 says, asked for twice."""
        with suppress(Gone):
            if self._is(data := self.read([(0, self.size)])[0]):
                return data
        if self._is(data := self.read([(0, self.size)], fresh=True)[0]):
            return data
        raise InputError(f"{self} is not what its folder's shards.json says: make that anew, or copy the folder again")

    def _is(self, data: bytes) -> bool:
        return hashlib.sha256(data).hexdigest() == self.sha256

    def _kept(self, spans: Mapping[int, range]) -> Iterator[tuple[int, Piece]]:
        """Yield of each block that is in the cache, by its number, the span that is wanted."""
        for number, span in spans.items():
            block = range(number * BLOCK, min((number + 1) * BLOCK, self.size))
            data = _node(os.getpid(), self.address.rules)[1].read(
                self._name(number), len(block), span.start - block.start, len(span)
            )
            if data is not None:
                yield number, (span.start, data)

    def _ask(self, run: range) -> dict[int, Piece]:
        """Ask for neighbouring blocks, and keep them."""
        first = run.start * BLOCK
        data = self._get(first, min(run.stop * BLOCK, self.size))
        blocks = {
            number: (number * BLOCK, data[number * BLOCK - first : (number + 1) * BLOCK - first]) for number in run
        }
        for number, (_, block) in blocks.items():
            _node(os.getpid(), self.address.rules)[1].keep(self._name(number), block)
        return blocks

    def _get(self, first: int, stop: int) -> bytes:
        data, size = _node(os.getpid(), self.address.rules)[0].get(self.address, first, stop)
        if size != self.size:
            raise Gone(f"it has {size} bytes, its index says {self.size}")
        return data

    def _name(self, number: int) -> str:
        return f"{self.sha256}-{number}"


@cache
def _node(process: int, rules: RemoteConfig) -> tuple[Server, BlockCache]:
    """Return what a process asks and where it looks first; `process`, for a forked one has to make its own."""
    return Server(rules), BlockCache(private_folder(rules.cache), rules.cache_bytes)


def ask_once(address: Address, most: int) -> bytes:
    """Return a whole file of at most `most` bytes, of which nothing is known; Gone if it is not there.

    InputError where it is larger.
    """
    data, size = _node(os.getpid(), address.rules)[0].get(address, 0, most)
    if size > most:
        raise InputError(f"{address} has {size} bytes, at most {most} are read: it is not what it should be")
    return data


def parts(address: Address) -> Iterator[bytes]:
    """Yield a file of which nothing is known, in order and not to be kept; Gone if it is not there, or changes."""
    first, size = 0, 1
    while first < size:
        data, found = _node(os.getpid(), address.rules)[0].get(address, first, first + BLOCK * BLOCKS_PER_REQUEST)
        if first and found != size:
            raise Gone(f"it had {size} bytes, and has {found} now")
        first, size = first + len(data), found
        yield data


def _spans(ranges: Iterable[tuple[int, int]]) -> dict[int, range]:
    """Return, by the number of each block that is wanted, the shortest span that holds all that is wanted of it."""
    spans: dict[int, range] = {}
    for first, size in ranges:
        for number in _blocks_of(first, size):
            start, stop = max(first, number * BLOCK), min(first + size, (number + 1) * BLOCK)
            known = spans.get(number, range(start, stop))
            spans[number] = range(min(start, known.start), max(stop, known.stop))
    return spans


def _blocks_of(first: int, size: int) -> range:
    return range(first // BLOCK, -(-(first + size) // BLOCK))


def _runs(numbers: Sequence[int]) -> Iterator[range]:
    """Cut ascending numbers into runs of neighbours, not too many for one request."""
    for _, group in groupby(enumerate(numbers), lambda pair: pair[1] - pair[0]):
        run = [number for _, number in group]
        for start in range(run[0], run[-1] + 1, BLOCKS_PER_REQUEST):
            yield range(start, min(start + BLOCKS_PER_REQUEST, run[-1] + 1))


def _cut(found: Mapping[int, Piece], first: int, size: int) -> bytes:
    """Put bytes first..first+size-1 together from what was found of their blocks."""
    pieces = [found[number] for number in _blocks_of(first, size)]
    return b"".join(data[max(first - start, 0) : first + size - start] for start, data in pieces)
