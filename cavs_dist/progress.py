"""Progress with an ETA: a bar on a terminal, one plain line now and then in a log file."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

Item = TypeVar("Item")
SECONDS_BETWEEN_LINES = 10.0


class _SpeedColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed or 0:.1f}/s")


def progress(
    items: Iterable[Item],
    what: str,
    total: int,
    *,
    done: int = 0,
    quiet: bool = False,
    amount: Callable[[Item], int] = lambda item: 1,
) -> Iterator[Item]:
    """Yield `items` while showing how much of `total` is behind us, how fast, and how long the rest will take.

    amount: how much of `total` an item is. `done` of it was finished by an earlier run; `quiet` (every rank but the
    first) shows nothing.
    """
    if quiet:
        return iter(items)
    show = _bar if sys.stderr.isatty() else _lines
    return show(items, what, total, done, amount)


def _bar(items: Iterable[Item], what: str, total: int, done: int, amount: Callable[[Item], int]) -> Iterator[Item]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _SpeedColumn(), TimeElapsedColumn())
    with Progress(*columns, TextColumn("ETA"), TimeRemainingColumn(), console=Console(stderr=True)) as bar:
        task = bar.add_task(what, total=total, completed=done)
        for item in items:
            yield item
            bar.advance(task, amount(item))


def _lines(items: Iterable[Item], what: str, total: int, done: int, amount: Callable[[Item], int]) -> Iterator[Item]:
    start = last = time.monotonic()
    count = 0
    for item in items:
        yield item
        count += amount(item)
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
