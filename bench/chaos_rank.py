"""One rank of a run under the chaos bench: `cavs-dist`, with a trap in it, and a note of every checkpoint.

torchrun ... bench/chaos_rank.py NOTES AIM train CONFIG key=value ...

AIM: an `Aim` as JSON, `null` for none. NOTES: a file that gets a JSON line for every checkpoint saved (where the fit
stands, and the digest of all that it holds) and one for the kill, just before it.
"""

import functools
import importlib
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from chaos_digest import newest_checkpoint


@dataclass(frozen=True)
class Trap:
    """Where a fault strikes: at a call of `at` while `inside` runs (module:name). alone: rank 0 alone comes there."""

    inside: str
    at: str
    alone: bool = False


@dataclass(frozen=True)
class Aim:
    """A kill: of rank `victim`, when the trap's call number `call` (from 1) is entered at `stage`.

    Where rank 0 alone comes to the trap, it springs it for the others too, while they wait.
    """

    fault: str
    stage: int
    call: int
    victim: int


# All names of ours that the bench knows, beside `train`.
TRAPS: Mapping[str, Trap] = {
    "looking back": Trap("cavs_dist.trainer:Trainer.begin", "cavs_dist.memory.rehearsal:CollisionCounter.add"),
    "mid-epoch": Trap("cavs_dist.trainer:Trainer.fit", "cavs_dist.engine:Engine.step"),
    "save": Trap("cavs_dist.engine:Engine.save", "torch:save"),
    "rename": Trap("cavs_dist.checkpoint:Checkpoints._finish", "pathlib:Path.rename", alone=True),
    "renamed": Trap("cavs_dist.checkpoint:Checkpoints.save", "cavs_dist.checkpoint:Checkpoints._prune", alone=True),
    "prune": Trap("cavs_dist.checkpoint:Checkpoints._prune", "os:unlink", alone=True),
    "weights": Trap("cavs_dist.trainer:write_weights", "os:fsync", alone=True),
    "clear": Trap("cavs_dist.checkpoint:Checkpoints.clear", "os:unlink", alone=True),
    "evaluating": Trap("cavs_dist.trainer:judge", "cavs_dist.setting:one_by_one"),
    "twin": Trap("cavs_dist.trainer:Trainer.twin", "cavs_dist.engine:Engine.step"),
    "scoring": Trap("cavs_dist.trainer:remember", "cavs_dist.memory.score:consistency"),
    "synchronise": Trap("cavs_dist.remember:synchronize", "cavs_dist.memory.synchronize:swap"),
    "payload": Trap("cavs_dist.memory.payload:store", "cavs_dist.data.write:_sample", alone=True),
    "memory": Trap("cavs_dist.trainer:remember", "cavs_dist.remember:write_json", alone=True),
}
STAGE = "cavs_dist.trainer:Trainer.begin"
START = "cavs_dist.trainer:start_world"
SAVED = "cavs_dist.checkpoint:Checkpoints.save"


class Killer:
    """Counts the calls that the aim is about, and kills at the right one."""

    def __init__(self, aim: Aim, notes: Path) -> None:
        self.aim, self.notes = aim, notes
        self.rank, self.pid = int(os.environ["RANK"]), os.getpid()
        self.pids: list[int] = []
        self.stage, self.depth, self.calls = -1, 0, 0

    def arm(self) -> None:
        """Wrap what has to be known, and on one rank the trap."""
        trap = TRAPS[self.aim.fault]
        if self.rank == (0 if trap.alone else self.aim.victim):
            wrap(trap.at, self._at)
            wrap(trap.inside, self._inside)
        wrap(STAGE, self._begin)
        wrap(START, self._start)

    def _start(self, function: Callable[..., Any], *args: Any) -> Any:
        from cavs_dist import distributed

        function(*args)
        self.pids = distributed.gather_objects(self.pid)

    def _begin(self, function: Callable[..., Any], trainer: Any, stage: Any, *args: Any) -> Any:
        self.stage = stage.index
        return function(trainer, stage, *args)

    def _inside(self, function: Callable[..., Any], *args: Any) -> Any:
        self.depth += 1
        try:
            return function(*args)
        finally:
            self.depth -= 1

    def _at(self, function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        # Workers that read clips are forks of this process, with the same traps.
        if self.depth and self.stage == self.aim.stage and os.getpid() == self.pid:
            self.calls += 1
            if self.calls == self.aim.call:
                note(self.notes, {"kill": asdict(self.aim)})
                os.kill(self.pids[self.aim.victim], signal.SIGKILL)
        return function(*args, **options)


def watch(notes: Path) -> None:
    """Note every checkpoint once it is saved; by rank 0."""

    def saved(function: Callable[..., Any], checkpoints: Any, *args: Any) -> None:
        function(checkpoints, *args)
        if os.environ["RANK"] == "0":
            newest = newest_checkpoint(checkpoints.folder)
            assert newest is not None
            note(notes, {"checkpoint": newest.name, "digest": newest.digest})

    wrap(SAVED, saved)


def wrap(where: str, around: Callable[..., Any]) -> None:
    """Replace a function (module:name or module:Class.name) by `around`, which gets it before its arguments."""
    module, _, name = where.partition(":")
    *owners, last = name.split(".")
    owner = functools.reduce(getattr, owners, importlib.import_module(module))
    function = getattr(owner, last)

    @functools.wraps(function)
    def wrapped(*args: Any, **options: Any) -> Any:
        return around(function, *args, **options)

    setattr(owner, last, wrapped)


def note(path: Path, value: Mapping[str, Any]) -> None:
    """Append a line, which no kill of a process takes back."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(value) + "\n")


def main() -> None:
    """Set the trap, then be `cavs-dist`."""
    notes, aim, *command = sys.argv[1:]
    watch(Path(notes))
    wanted = json.loads(aim)
    if wanted is not None:
        Killer(Aim(**wanted), Path(notes)).arm()
    sys.argv = ["cavs-dist", *command]
    from cavs_dist.cli import main as cavs_dist

    cavs_dist()


if __name__ == "__main__":
    main()
