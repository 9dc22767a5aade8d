"""Start the chaos bench's runs on two ranks, and leave no process behind."""

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from chaos_rank import Aim

PATIENCE = 300.0  # seconds for one start
SWEEP = 15.0  # seconds until a worker has seen that its rank is dead, and to spare


class Failed(Exception):
    """The bench could not be carried out: a start ended as it should not have."""


@dataclass(frozen=True)
class Bench:
    """A folder for the two runs, and the mark in the environment that tells their processes from all others."""

    out: Path
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)

    def run(self, name: str) -> Path:
        """Return the folder of the run `whole` or `killed`."""
        return self.out / name

    def command(self, run: str) -> list[str]:
        """Return what a user would type after `torchrun -m cavs_dist`."""
        return ["train", "chaos", f"data.path={self.out / 'scenes'}", f"out={self.run(run)}", "track.clips=true"]

    def plain(self, run: str) -> int:
        """Start a run as a user does, and return its exit code."""
        return self._start(["-m", "cavs_dist", *self.command(run)], run)

    def watched(self, run: str, aim: Aim | None) -> int:
        """Start a run with notes of its checkpoints and with a trap, and return its exit code."""
        wanted = json.dumps(aim and asdict(aim))
        return self._start(
            [str(Path(__file__).with_name("chaos_rank.py")), str(self.notes(run)), wanted, *self.command(run)], run
        )

    def notes(self, run: str) -> Path:
        """Return the file of notes of a run."""
        return self.out / f"{run}.jsonl"

    def said(self, run: str) -> str:
        """Return the end of what a run has said."""
        return (self.out / f"{run}.log").read_text(encoding="utf-8", errors="replace")[-3000:]

    def left(self) -> list[int]:
        """Return the processes that the bench started and that still live."""
        wanted = f"CHAOS={self.mark}".encode()
        return [int(path.parent.name) for path in Path("/proc").glob("[0-9]*/environ") if wanted in _read(path)]

    def sweep(self) -> list[int]:
        """Wait for the end of all processes that the bench started; kill and return those that stay."""
        end = time.monotonic() + SWEEP
        while (stayed := self.left()) and time.monotonic() < end:
            time.sleep(0.2)
        for process in stayed:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        return stayed

    def _start(self, script: Sequence[str], run: str) -> int:
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", *script]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "CHAOS": self.mark}
        with (self.out / f"{run}.log").open("a") as log:
            try:
                return subprocess.run(torchrun, env=environment, stdout=log, stderr=log, timeout=PATIENCE).returncode
            except subprocess.TimeoutExpired:
                self.sweep()
                raise Failed(f"a start took more than {PATIENCE:.0f} s: {self.said(run)}") from None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # it has ended, or is not ours
        return b""
