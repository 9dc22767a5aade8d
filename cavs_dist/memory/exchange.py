"""Exemplars sent from rank to rank, where ranks share no file system (`memory.payload=exchange`).

Each exemplar lies on the disk of some rank. What all ranks draw in an update is known to each of them, so a rank knows
what to send to whom, and how much will come from where: nothing is asked for.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from cavs_dist import distributed
from cavs_dist.data.cache import CachedReader
from cavs_dist.data.shard import ClipEntry, clip_record, parse_clip
from cavs_dist.errors import InputError
from cavs_dist.memory.payload import Place


class Exchange:
    """Who holds which exemplar. exemplars: what each draws is numbered by; offsets count within what is delivered.

    cache: bytes of its own exemplars that this rank holds in RAM.
    """

    def __init__(
        self,
        wanted: Sequence[Place],
        mine: Mapping[Place, ClipEntry],
        originals: Mapping[str, ClipEntry],
        cache: int,
    ) -> None:
        """Learn which rank holds which of the exemplars `wanted`, this one `mine`. Collective.

        originals: the data set's clips by key, which stand in for exemplars that nobody holds: a disk may be gone.
        Raises InputError where there is none.
        """
        self._mine = dict(enumerate(map(mine.get, wanted)))
        self._reader = CachedReader(cache)
        told = _tell(self._mine)
        lost = {number: originals.get(key) for number, (_, key) in enumerate(wanted) if number not in told}
        if None in lost.values():
            missing = [wanted[number][1] for number, clip in lost.items() if clip is None]
            raise InputError(f"no rank holds {len(missing)} exemplars ({', '.join(missing[:5])}): is a node missing?")
        self._mine |= lost
        told |= _tell(lost)
        # Where several ranks can read an exemplar, they take turns.
        chosen = [told[number][number % len(told[number])] for number in range(len(wanted))]
        self._holders = [rank for rank, _ in chosen]
        self.exemplars = [clip for _, clip in chosen]

    def deliver(self, drawn: Sequence[Sequence[int]]) -> dict[int, bytes]:
        """Return the bytes of the exemplars that this rank draws; drawn[r]: those that rank r draws. Collective."""
        me = distributed.rank()
        wanted = [sorted(set(numbers)) for numbers in drawn]
        outbox = {rank: self._held(numbers, me) for rank, numbers in enumerate(wanted) if rank != me}
        inbox = {rank: self._held(wanted[me], rank) for rank in range(len(wanted)) if rank != me}
        received = distributed.send_and_receive(
            {rank: _tensor(b"".join(map(self._read, numbers))) for rank, numbers in outbox.items() if numbers},
            {rank: sum(map(self._size, numbers)) for rank, numbers in inbox.items() if numbers},
        )
        delivered = {number: self._read(number) for number in self._held(wanted[me], me)}
        for rank, message in received.items():
            data, start = message.cpu().numpy().tobytes(), 0
            for number in inbox[rank]:
                delivered[number] = data[start : start + self._size(number)]
                start += self._size(number)
        return delivered

    def _held(self, numbers: Sequence[int], rank: int) -> list[int]:
        return [number for number in numbers if self._holders[number] == rank]

    def _read(self, number: int) -> bytes:
        clip = self._mine[number]
        assert clip is not None
        return b"".join(self._reader.read(clip).values())

    def _size(self, number: int) -> int:
        return sum(member.size for member in self.exemplars[number].members.values())


def _packed(clip: ClipEntry) -> ClipEntry:
    """Return the clip as it is delivered: its members one after the other."""
    start, members = 0, {}
    for name, member in clip.members.items():
        members[name] = replace(member, offset=start)
        start += member.size
    return replace(clip, members=members)


def _tell(mine: Mapping[int, ClipEntry | None]) -> dict[int, list[tuple[int, ClipEntry]]]:
    """Return, by number, (rank, clip as it is delivered) of all ranks' `mine`, in the order of ranks. Collective."""
    packed = {number: clip_record(_packed(clip)) for number, clip in mine.items() if clip is not None}
    lines = (json.dumps([distributed.rank(), number, record]) + "\n" for number, record in packed.items())
    text = distributed.gather_rows(_tensor("".join(lines).encode())).cpu().numpy().tobytes().decode()
    told: dict[int, list[tuple[int, ClipEntry]]] = {}
    for line in text.splitlines():
        rank, number, record = json.loads(line)
        told.setdefault(number, []).append((rank, parse_clip(Path(f"rank {rank}"), 1 << 62, record)))
    return told


def _tensor(data: bytes) -> Tensor:
    values = torch.frombuffer(bytearray(data), dtype=torch.uint8) if data else torch.empty(0, dtype=torch.uint8)
    return values.to(distributed.device())
