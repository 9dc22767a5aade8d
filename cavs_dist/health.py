"""How well a fit runs: its speed, its waits, its memory, and the ranks that hold the others up."""

import socket
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from statistics import median_low

import psutil
import torch
from torch import Tensor

from cavs_dist import distributed, pulse
from cavs_dist.data.stream import Update

SLOW = 1.5  # times the median rank's own time
COSTS = 0.1  # of an update's time: what others lose by a slow rank, at least
IN_A_ROW = 3  # lines, before a slow rank is warned of
NAMED = 4  # ranks in one sentence


class Health:
    """What one fit's ranks did since the last line of the track; an update costs two looks at the clock.

    A line of the track gets, over all updates since the last line:
    health/throughput: clips a second, all ranks together. health/wait_share: of the time, spent waiting for clips, mean
    over ranks, and health/wait_share_max, of the rank that waited most. health/resident: on CPUs, 10^9 bytes of a
    rank's process now; on GPUs health/allocated and health/reserved, 10^9 bytes of the device at the highest; of the
    rank that has most. health/own: a rank's own seconds an update, the median over ranks (of an even number the lower
    middle one). health/spread: (largest - median) / median of them. health/stragglers: the ranks at SLOW times the
    median or more, by whom an update lasts longer by COSTS or more, with their hosts; absent if there are none.

    A rank's own time is all that it does not spend where it may wait for others: reading, moving and weighing clips,
    teacher, forward pass, loss. Backward pass and step are left out: their collectives lie within. On GPUs the host
    only orders work, so the forward pass counts as the device took it at the line's update, if that is longer; where
    norms are synchronised, waits for their sums are in it, which makes ranks more alike than they are.
    """

    def __init__(self) -> None:
        """Begin now. Collective."""
        self._hosts = distributed.gather_objects(socket.gethostname())
        self._memories = tuple(_memory())
        self._slow: dict[int, int] = {}  # rank -> lines in a row
        self._passes: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []
        self._tells = False
        self.waited = 0.0  # seconds for clips, since the fit began
        self._begin()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Count what the block takes as waiting for an update's clips."""
        start = time.monotonic()
        with self._working():
            yield
        self.waited += time.monotonic() - start

    @contextmanager
    def learning(self, update: Update, tells: bool) -> Iterator[None]:
        """Count what the block takes as learning from an update. tells: whether a line of the track comes after it."""
        self._tells = tells
        with self._working():
            yield
        self._clips += sum(len(batch.keys) for batch in update.batches)
        self._updates += 1

    @contextmanager
    def forward(self) -> Iterator[None]:
        """Have the device time a forward pass, if there is one and a line comes; nothing waits for it."""
        if not (self._tells and torch.cuda.is_available()):
            yield
            return
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        start.record()
        yield
        end.record()
        self._passes.append((start, end))

    def row(self) -> Tensor:
        """Return this rank's numbers since the last call, for `scalars`, and begin anew."""
        updates = max(self._updates, 1)
        waited = self.waited - self._waited_before
        passes = sum(start.elapsed_time(end) for start, end in self._passes) / 1000
        own = max(self._own / updates, waited / updates + passes if passes else 0.0)
        seconds = time.monotonic() - self._began
        numbers = (self._clips, self._updates, seconds, waited, own, *_memory().values())
        self._begin()
        return torch.tensor(numbers, dtype=torch.float32, device=distributed.device())

    def scalars(self, rows: Tensor) -> dict[str, float | str]:
        """Make fields of a line of all ranks' rows, [W, ...]; the first rank warns of one that stays slow."""
        clips, updates, seconds, waits, own, *memory = rows.double().T.tolist()
        longest = max(seconds)
        shares = [wait / each for wait, each in zip(waits, seconds, strict=True)]
        stragglers = self._stragglers(own, longest / max(*updates, 1))
        return {
            "health/throughput": round(sum(clips) / longest, 3),
            "health/wait_share": round(sum(shares) / len(shares), 4),
            "health/wait_share_max": round(max(shares), 4),
            **{f"health/{name}": round(max(each), 4) for name, each in zip(self._memories, memory, strict=True)},
            "health/own": round(median_low(own), 5),
            "health/spread": round(max(own) / max(median_low(own), 1e-9) - 1, 4),
            **({"health/stragglers": stragglers} if stragglers else {}),
        }

    def _begin(self) -> None:
        self._began, self._waited_before = time.monotonic(), self.waited
        self._clips = self._updates = 0
        self._own = 0.0
        self._passes.clear()
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()

    @contextmanager
    def _working(self) -> Iterator[None]:
        start, waited = time.monotonic(), pulse.now.waited
        yield
        self._own += time.monotonic() - start - (pulse.now.waited - waited)

    def _stragglers(self, own: Sequence[float], update: float) -> str:
        """Name the slow ranks, and warn where one is slow for the IN_A_ROW-th time. update: seconds that one takes."""
        slow = slow_ranks(own, update)
        self._slow = {rank: self._slow.get(rank, 0) + 1 for rank in slow}
        lasting = {rank: slow[rank] for rank, lines in self._slow.items() if lines == IN_A_ROW}
        if lasting and distributed.is_first():
            print(
                f"warning: {self._named(lasting)} for {IN_A_ROW} lines of the track in a row, and all wait for it: "
                "look at its host's other work, clocks and disks",
                file=sys.stderr,
            )
        return self._named(slow)

    def _named(self, slow: Mapping[int, float]) -> str:
        worst = sorted(slow, key=lambda rank: -slow[rank])
        named = [f"rank {rank} on {self._hosts[rank]} takes {slow[rank]:.1f} times the median" for rank in worst]
        rest = [f"and {len(worst) - NAMED} more"] if len(worst) > NAMED else []
        return "; ".join([*named[:NAMED], *rest])


def slow_ranks(own: Sequence[float], update: float) -> dict[int, float]:
    """Return the ranks that hold the others up, each with its own time in medians.

    own: each rank's own seconds an update. update: seconds that an update takes.
    """
    middle = max(median_low(own), 1e-9)
    return {
        rank: seconds / middle
        for rank, seconds in enumerate(own)
        if seconds >= SLOW * middle and seconds - middle >= COSTS * update
    }


def _memory() -> dict[str, float]:
    """Return what this rank takes, in 10^9 bytes, by name; the names are the same on all ranks."""
    if torch.cuda.is_available():
        peaks = {"allocated": torch.cuda.max_memory_allocated(), "reserved": torch.cuda.max_memory_reserved()}
    else:
        peaks = {"resident": psutil.Process().memory_info().rss}
    return {name: value / 1e9 for name, value in peaks.items()}
