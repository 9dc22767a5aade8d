"""Progress with an ETA: a bar on a terminal, one plain line now and then in a log file."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

Item = TypeVar("Item")
SECONDS_BETWEEN_LINES = 10.0


def progress(items: Iterable[Item], what: str, total: int, *, done: int = 0, quiet: bool = False) -> Iterator[Item]:
    """Yield `items` while showing how many of `total` are behind us and how long the rest will take.

    `done` of them were finished by an earlier run; `quiet` (every rank but the first) shows nothing.
    """
    if quiet:
        return iter(items)
    return _bar(items, what, total, done) if sys.stderr.isatty() else _lines(items, what, total, done)


def _bar(items: Iterable[Item], what: str, total: int, done: int) -> Iterator[Item]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TextColumn("ETA"), TimeRemainingColumn(), console=Console(stderr=True)) as bar:
        task = bar.add_task(what, total=total, completed=done)
        for item in items:
            yield item
            bar.advance(task)


def _lines(items: Iterable[Item], what: str, total: int, done: int) -> Iterator[Item]:
    start = last = time.monotonic()
    for count, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if now - last >= SECONDS_BETWEEN_LINES or done + count == total:
            rate = count / max(now - start, 1e-9)
            eta = (total - done - count) / rate
            print(f"{what}: {done + count}/{total}, {rate:.1f}/s, ETA {_clock(eta)}", file=sys.stderr, flush=True)
            last = now


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"
