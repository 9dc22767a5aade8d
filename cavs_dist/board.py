"""What the ranks tell each other beside their collectives: beats and one verdict, in the store that they met in.

Under torchrun the store is the launcher's and outlives every rank; else it is rank 0's.
"""

import json
import os
import platform
from dataclasses import asdict, dataclass
from datetime import timedelta

from torch._C._distributed_c10d import TCPStore  # as torch.distributed has it, but typed

from cavs_dist import pulse, stop


@dataclass(frozen=True)
class Beat:
    """A rank's sign of life. number: of the beat. stopping: the signal that asked it to stop, if any."""

    number: int
    who: str
    doing: str
    stopping: str


@dataclass(frozen=True)
class Verdict:
    """Why all ranks end. rank: the one that the sentence names. code: the exit code."""

    rank: int
    sentence: str
    code: int

    @property
    def said(self) -> str:
        """The sentence, as a process that ends by it says it."""
        return self.sentence if self.code == stop.EXIT_CODE else f"error: {self.sentence}"


class Board:
    """One rank's access to the store. Every call may hang, or raise RuntimeError once the store is gone."""

    def __init__(self, rank: int, seconds: float) -> None:
        """Connect, and leave a first beat. seconds: to wait for the store's answer to that."""
        self._rank, self._beats = rank, 0
        # A launcher that restarts its ranks keeps its store.
        self._prefix = f"cavs_dist/{os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}"
        address, port, wait = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), timedelta(seconds=seconds)
        # A connection of its own: a call that waits on the group's holds up all others.
        self._store = TCPStore(address, port, is_master=False, wait_for_workers=False, timeout=wait)
        self.beat()

    def beat(self) -> None:
        """Show that this rank lives, and what it does now."""
        self._beats += 1
        self._put(f"beat/{self._rank}", asdict(Beat(self._beats, who(), str(pulse.now), stop.asked())))

    def beat_of(self, rank: int) -> Beat:
        """Return a rank's last beat; the rank must have left one."""
        return Beat(**json.loads(self._store.get(f"{self._prefix}/beat/{rank}")))

    def tell_lost(self) -> None:
        """Tell all ranks that a collective has failed."""
        self._put("lost", {})

    def is_lost(self) -> bool:
        """Tell whether a collective has failed on any rank."""
        return self._store.check([f"{self._prefix}/lost"])

    def propose(self, verdict: Verdict) -> None:
        """Put up a verdict, unless there is one."""
        self._store.compare_set(f"{self._prefix}/verdict", "", json.dumps(asdict(verdict)))

    def verdict(self) -> Verdict | None:
        """Return the verdict, if there is one."""
        name = f"{self._prefix}/verdict"
        return Verdict(**json.loads(self._store.get(name))) if self._store.check([name]) else None

    def _put(self, name: str, value: dict[str, object]) -> None:
        self._store.set(f"{self._prefix}/{name}", json.dumps(value))


def who() -> str:
    """Name this process for a reader of any node's log."""
    return f"process {os.getpid()} on {platform.node()}"


def keeper() -> str:
    """Name who keeps the store, where that is not a rank."""
    return f"the launcher on {os.environ['MASTER_ADDR']}" if is_launchers() else ""


def is_launchers() -> bool:
    """Tell whether the store is the launcher's."""
    return os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
