"""Rates measured on this machine: a few real updates of two sizes, and all-reduces between two processes."""

import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path
from statistics import median
from typing import Any

import torch
import torch.distributed as dist
from torch import multiprocessing

from cavs_dist.curriculum import Stage
from cavs_dist.data.shard import ClipEntry
from cavs_dist.data.split import Split
from cavs_dist.data.stream import Update, training_updates
from cavs_dist.engine import Engine, autocast, start_world
from cavs_dist.fit import weigh
from cavs_dist.memory.memory import ExemplarMemory
from cavs_dist.scaling.work import with_batch
from cavs_dist.setting import Setting

SLOTS = (2, 6)  # of the small and the large update
UPDATES = 5  # of each; the first loads and allocates
MESSAGES = (1, 1 << 20)  # float32 numbers: one that costs latency alone, one that costs bandwidth
ROUNDS = 10


def measure_rates(setting: Setting) -> dict[str, float]:
    """Return `Rates` by key, measured without other ranks on this machine's device, from the run's own clips.

    Between GPUs nothing is measured: all-reduces are timed on gloo, which says nothing of them.
    """
    start_world(setting.run.engine)
    small, large = (time_updates(with_batch(setting, slots, 0)) for slots in SLOTS)
    per_slot = (large["compute"] - small["compute"]) / (SLOTS[1] - SLOTS[0])
    if per_slot <= 0:  # a busy machine hides the difference: then all of an update is its slots'
        per_slot = large["compute"] / SLOTS[1]
    found = {
        "slot_seconds": per_slot,
        "update_seconds": max(small["compute"] - SLOTS[0] * per_slot, 0.0),
        "decode": 1 / large["clip"],
    }
    return found if torch.cuda.is_available() else {**found, **time_reductions()}


def time_updates(setting: Setting) -> dict[str, float]:
    """Return the median seconds of an update of the last stage, and of reading and decoding a clip for it."""
    stage = setting.stages[-1]
    setting = replace(setting, train=_few(setting, stage))
    device = torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
    run, method = setting.run, setting.method
    alone = replace(setting, run=replace(run, data=replace(run.data, workers=0)))
    model = alone.fresh_model("main", stage)
    old = alone.fresh_model("main", setting.stages[-2]).eval() if stage.index else None
    clips = alone.stage_clips(stage, method, ExemplarMemory(), {})
    updates, reading, computing = training_updates(clips, 0, UPDATES, 0, 1, run.optim.batch), [], []
    engine: Engine | None = None
    for update, seconds in _timed(updates):
        batches = [batch.to(device) for batch in update.batches]
        if engine is None:
            with torch.no_grad():
                method.begin(stage, model, [] if old is None else [(batches[0], old(batches[0]))])
            engine = Engine(model, run.engine, run.optim)
        start = time.perf_counter()
        make_update(alone, engine, old if method.teacher else None, batches)
        computing.append(time.perf_counter() - start)
        reading.append(seconds / len(batches[0].keys))
    assert engine is not None
    engine.close()
    return {"compute": median(computing[1:]), "clip": median(reading[1:])}


def make_update(setting: Setting, engine: Engine, old: Any, batches: list[Any]) -> None:
    """Make an update as a fit does."""
    engine.model.train()
    for batch in weigh(batches):
        with autocast(setting.run.engine):
            with torch.no_grad():
                taught = None if old is None else old(batch)
            terms = setting.method.loss(batch, engine(batch), taught)
        engine.backward(torch.stack([term.float() for term in terms.values()]).sum())
    engine.finite()
    engine.step()


def _few(setting: Setting, stage: Stage) -> Split:
    """Keep as many of a stage's clips as the measurement needs, of its classes in turn."""
    clips = setting.clips_of(stage).clips
    heard: Mapping[str, list[ClipEntry]] = {name: [] for name in stage.new}
    for clip in clips:
        heard[next(name for name in stage.new if name in clip.meta.classes)].append(clip)
    mixed = [clip for turn in zip_longest(*heard.values()) for clip in turn if clip is not None]
    return replace(setting.train, shards=(tuple(mixed[: max(SLOTS) * UPDATES]),))


def _timed(updates: Iterator[Update]) -> Iterator[tuple[Update, float]]:
    while True:
        start = time.perf_counter()
        update = next(updates, None)
        if update is None:
            return
        yield update, time.perf_counter() - start


def time_reductions(ranks: int = 2) -> dict[str, float]:
    """Return the latency of a message and the bytes a second, of all-reduces over gloo ranks of this machine."""
    with tempfile.TemporaryDirectory() as folder:
        multiprocessing.spawn(_reduce, (ranks, folder), nprocs=ranks)  # type: ignore[no-untyped-call, attr-defined]
        small, large = map(float, Path(folder, "seconds").read_text().split())
    sent = 2 * (ranks - 1) / ranks * 4 * MESSAGES[1]
    bandwidth = sent / max(large - small, 1e-9)
    return {"latency": small / 2, "inside": bandwidth, "between": bandwidth}  # of 2 ranks a ring has 2 steps


def _reduce(rank: int, ranks: int, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=ranks)
    found = []
    for numbers in MESSAGES:
        values, seconds = torch.zeros(numbers), []
        for _ in range(ROUNDS):
            dist.barrier()
            start = time.perf_counter()
            dist.all_reduce(values)
            seconds.append(time.perf_counter() - start)
        found.append(median(seconds))
    if rank == 0:
        Path(folder, "seconds").write_text(" ".join(map(str, found)))
    dist.destroy_process_group()
