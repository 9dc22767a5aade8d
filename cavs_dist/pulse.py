"""What this rank does now: told by the work as it goes on, read by the watchdog that looks for ranks that hang."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from cavs_dist import stop


@dataclass
class Pulse:
    """A rank's last sign of progress.

    doing: the work at hand. moved: when it last went on, by time.monotonic. collectives: how many were entered so far.
    inside: how many of them, one within the other, it is in now, where it may wait for other ranks. waited: seconds
    that it was in any, all together.
    """

    doing: str = "the start"
    moved: float = field(default_factory=time.monotonic)
    collectives: int = 0
    inside: int = 0
    waited: float = 0.0

    def __str__(self) -> str:
        """Say where the rank is."""
        return f"{self.doing}, collective {self.collectives}" if self.inside else self.doing

    def still(self) -> float:
        """Return for how many seconds the rank has not moved by its own fault: 0 while it may wait for others."""
        return 0.0 if self.inside else time.monotonic() - self.moved


now = Pulse()


def mark(doing: str) -> None:
    """Tell that a piece of work begins, such as an update or a batch; Interrupted if the run is to stop here."""
    now.doing, now.moved = doing, time.monotonic()
    stop.heed(doing)


@contextmanager
def waiting() -> Iterator[None]:
    """Tell that this rank may wait for others within the block. Collective."""
    start = time.monotonic()
    now.collectives += 1
    now.inside += 1
    try:
        yield
    finally:
        now.moved = time.monotonic()
        now.inside -= 1
        if not now.inside:
            now.waited += now.moved - start
