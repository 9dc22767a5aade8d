"""Traces of chosen updates, by torch's profiler: where an update's time goes."""

import errno
import gzip
import shutil
import sys
import tempfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from torch.profiler import ProfilerAction, profile, supported_activities

from cavs_dist import distributed
from cavs_dist.errors import InputError
from cavs_dist.files import whole

Item = TypeVar("Item")
ROWS = 40  # of the table


@dataclass(frozen=True)
class ProfileConfig:
    """The section `track.profile`: which updates torch's profiler traces, into `profile/` in the run folder.

    updates: by the count of all fits of the run, as `update` in `metrics.jsonl`; none by default. rank: the rank that
    is traced. Of each update there are a Chrome trace (`.json.gz`, for ui.perfetto.dev) and the operations that took
    longest (`.txt`). An update that is made again after a crash is traced again.
    """

    updates: tuple[int, ...] = ()
    rank: int = 0


def traced(items: Iterator[Item], config: ProfileConfig, folder: Path, done: int, last: int) -> Iterator[Item]:
    """Yield the updates `done` + 1 ... `last` of the run, and trace the chosen ones on the chosen rank.

    A trace begins where its update is asked for, and ends where the next one is; the update before, if it is made in
    the same fit, warms the profiler up. Raises InputError for an update or a rank that no run, or not this one, has.
    """
    if min(config.updates, default=1) < 1:
        raise InputError(f"track.profile.updates has {min(config.updates)}: updates are counted from 1")
    if not 0 <= config.rank < distributed.world_size():
        raise InputError(
            f"track.profile.rank is {config.rank}, and the run has {distributed.world_size()} ranks, counted from 0"
        )
    chosen = {number for number in config.updates if done < number <= last}
    if not chosen or distributed.rank() != config.rank:
        return items
    return _traced(items, chosen, folder, done)


def _traced(items: Iterator[Item], chosen: Collection[int], folder: Path, done: int) -> Iterator[Item]:
    number = done + 1

    def action(step: int) -> ProfilerAction:
        if done + 1 + step in chosen:
            return ProfilerAction.RECORD_AND_SAVE
        return ProfilerAction.WARMUP if done + 2 + step in chosen else ProfilerAction.NONE

    def save(profiler: profile) -> None:
        _save(profiler, folder, f"update-{number:08d}-rank-{distributed.rank()}")

    activities = supported_activities()  # type: ignore[no-untyped-call]
    with profile(activities=activities, schedule=action, on_trace_ready=save) as profiler:
        for item in items:
            yield item
            profiler.step()  # saves
            number += 1


def _save(profiler: profile, folder: Path, name: str) -> None:
    """Write a trace and its table, whole or not at all; a disk that does not take them is warned of."""
    longest = "self_cuda_time_total" if torch.cuda.is_available() else "self_cpu_time_total"
    table = profiler.key_averages().table(sort_by=longest, row_limit=ROWS)
    try:
        with tempfile.TemporaryDirectory() as scratch, whole(folder / f"{name}.json.gz") as beside:
            plain = Path(scratch) / "trace.json"
            profiler.export_chrome_trace(str(plain))
            _refuse_cut(plain)
            with plain.open("rb") as trace, gzip.open(beside, "wb", compresslevel=6) as packed:
                shutil.copyfileobj(trace, packed)
        with whole(folder / f"{name}.txt") as beside:
            beside.write_text(table, encoding="utf-8")
    except (InputError, OSError) as error:
        print(f"warning: the trace {name} is left out: {error}", file=sys.stderr)


def _refuse_cut(trace: Path) -> None:
    """Raise OSError for a trace that is not all there: the profiler says nothing of a disk that took a part of it."""
    with trace.open("rb") as file:
        file.seek(max(trace.stat().st_size - 64, 0))
        if not file.read().rstrip().endswith(b"}"):
            raise OSError(errno.ENOSPC, "no room for the trace", str(trace))
