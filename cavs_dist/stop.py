"""Stop when asked to: SIGTERM or SIGUSR1 to a process that trains.

The first signal is remembered, and heeded where nothing is lost. The second ends the process at once, wherever it is:
signals come through a pipe to a thread, for Python's own handlers wait until the main thread returns to Python, which
it never does from a collective that another rank does not enter.
"""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType

from cavs_dist.errors import Interrupted
from cavs_dist.last_word import leave_last_word

EXIT_CODE = 75  # EX_TEMPFAIL: the same command again goes on
SIGNALS = (signal.SIGTERM, signal.SIGUSR1)
AGAIN = "run the same command again to go on"
# A cluster signals every process of a job, and a launcher among them passes it on: within seconds, it is one request.
ONE_REQUEST = 1.0
READER_STAYS = 120


@dataclass
class _Request:
    """What this process was asked: by which signal, and when. deferred: something is to be kept first."""

    by: str = ""
    since: float = 0.0
    deferred: bool = False
    listening: bool = False


_request = _Request()


def asked() -> str:
    """Return the name of the signal that asked this process to stop, empty if none did."""
    return _request.by


def ask(by: str) -> None:
    """Ask this process to stop."""
    if not _request.by:
        _request.by, _request.since = by, time.monotonic()


def counts() -> list[int]:
    """Return how often each of SIGNALS asked this process to stop, 0 or 1: what `told` takes summed over ranks."""
    return [int(number.name == _request.by) for number in SIGNALS]


def told(sums: list[float]) -> str:
    """Return the name of a signal that asked any rank to stop, empty if none did."""
    return next((number.name for number, count in zip(SIGNALS, sums, strict=True) if count), "")


def heed(where: str) -> None:
    """Raise Interrupted if this process was asked to stop and has nothing to keep first. where: what it does now."""
    if _request.by and not _request.deferred:
        raise Interrupted(f"stopped by {_request.by} in {where}; {AGAIN}")


@contextmanager
def deferring() -> Iterator[None]:
    """Have `heed` wait until the block is left: it makes what a stop would lose, or saves it by itself."""
    _request.deferred = True
    try:
        yield
    finally:
        _request.deferred = False


@contextmanager
def listening() -> Iterator[None]:
    """Remember a first SIGTERM or SIGUSR1 within the block, and exit at the second. In the main thread alone."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    before = {number: signal.signal(number, _hear) for number in SIGNALS}
    for number in SIGNALS:
        signal.siginterrupt(number, False)  # what waits in a library goes on waiting
    descriptor = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    listener = threading.Thread(target=_listen, args=(reading,), daemon=True)
    listener.start()
    _request.listening = True
    try:
        yield
    finally:
        signal.set_wakeup_fd(descriptor)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.write(writing, b"\0")  # not its end: a reader of clips may hold the pipe open
        listener.join()
        os.close(reading)
        os.close(writing)
        _request.by, _request.listening = "", False


def unignore() -> None:
    """Let SIGUSR1 end this process until it is listening, though what started it ignores that signal.

    A batch script has torchrun ignore it, and what is ignored is inherited: a rank that is still starting, and has
    nothing to keep, would go on unstopped.
    """
    if signal.getsignal(signal.SIGUSR1) is signal.SIG_IGN:
        signal.signal(signal.SIGUSR1, signal.SIG_DFL)


def outlive_a_stop(worker: int) -> None:
    """Let a process that reads clips live on for READER_STAYS seconds after SIGTERM; for DataLoader's worker_init_fn.

    torchrun signals a rank's whole process group: without its readers, the rank would not come to save.
    """
    signal.signal(signal.SIGTERM, lambda number, frame: _end_later())


def _end_later() -> None:
    signal.alarm(READER_STAYS)


def _hear(number: int, frame: FrameType | None) -> None:
    """Do nothing: a handler of Python's has to be there for its number to be written to the pipe."""


def _listen(reading: int) -> None:
    while (number := os.read(reading, 1)[0]) != 0:
        if number not in SIGNALS:
            continue
        if not _request.by:
            ask(signal.Signals(number).name)
        elif time.monotonic() - _request.since > ONE_REQUEST:
            exit_now(f"stopped at once by a second {signal.Signals(number).name}; {AGAIN}", EXIT_CODE)


def exit_now(sentence: str, code: int) -> None:
    """Say `sentence` and end the process, whatever its other threads do or hold."""
    leave_last_word(sentence, code)
    with suppress(OSError):
        os.write(2, f"{sentence}\n".encode())  # not print: the main thread may hold its lock for ever
    os._exit(code)


def _forget() -> None:
    """In a forked process: SIGTERM ends it, SIGUSR1 does nothing, and neither is told to the process it comes from."""
    if _request.listening:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)


os.register_at_fork(after_in_child=_forget)
