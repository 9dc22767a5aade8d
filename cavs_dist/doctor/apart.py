"""Work in a process of its own, for what may hang or crash: a driver, a file system, a network."""

import json
import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

from cavs_dist.errors import InputError


class Stuck(Exception):
    """The work gave no answer within its time."""


class Broke(Exception):
    """The work ended by an error that is no InputError, or without a word; the message says how."""


def apart(work: Callable[[], Any], limit: float) -> Any:
    """Return what `work` returns, which JSON can hold, from a process that ends with all that it started.

    What it prints is dropped. Raises Stuck after `limit` seconds, InputError where `work` does, Broke for the rest.
    """
    reading, writing = os.pipe()
    try:
        with forked(lambda: _answer(work, writing)):
            os.close(writing)
            answer = _read(reading, limit)
    finally:
        os.close(reading)
    if "error" in answer:
        raise (InputError if answer["input"] else Broke)(answer["error"])
    return answer["value"]


@contextmanager
def forked(action: Callable[[], None]) -> Iterator[int]:
    """Run `action` in another process, whose number is yielded; it is killed with its group when the block is left."""
    child = os.fork()
    if child == 0:
        _become(action)
    try:
        yield child
    finally:
        for kill in (os.killpg, os.kill):  # it may not have come to lead a group yet
            with suppress(ProcessLookupError):
                kill(child, signal.SIGKILL)
        _reap(child)


def _become(action: Callable[[], None]) -> NoReturn:
    """Be the other process: silent, in a group of its own, gone after `action` whatever comes."""
    code = 1
    try:
        os.setsid()
        nowhere = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(nowhere, descriptor)
        action()
        code = 0
    finally:
        os._exit(code)


def _reap(child: int, patience: float = 1.0) -> None:
    """Wait for a killed process; not for one that the kernel holds, as on a file server that is gone."""
    end = time.monotonic() + patience
    while os.waitpid(child, os.WNOHANG) == (0, 0) and time.monotonic() < end:
        time.sleep(0.005)


def _answer(work: Callable[[], Any], writing: int) -> None:
    try:
        answer = {"value": work()}
    except Exception as error:
        why = str(error).strip().partition("\n")[0]
        known = isinstance(error, InputError)
        answer = {"error": why if known else f"{type(error).__name__}: {why}", "input": known}
    with os.fdopen(writing, "w", encoding="utf-8") as pipe:
        pipe.write(json.dumps(answer) + "\n")


def _read(reading: int, limit: float) -> dict[str, Any]:
    """Read one line; a process that was started on the way may keep the pipe open."""
    end, text = time.monotonic() + limit, b""
    while not text.endswith(b"\n"):
        ready, _, _ = select.select([reading], [], [], max(0.0, end - time.monotonic()))
        if not ready:
            raise Stuck(f"no answer within {limit:g} s")
        part = os.read(reading, 1 << 16)
        if not part:
            raise Broke("it ended without a word")
        text += part
    answer: dict[str, Any] = json.loads(text)
    return answer
