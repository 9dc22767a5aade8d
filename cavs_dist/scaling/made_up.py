"""An index that nobody read: clips of given numbers, for a plan made before there is data."""

import re
from collections.abc import Sequence
from pathlib import Path

from cavs_dist.config import Run
from cavs_dist.curriculum import REST, make_stages
from cavs_dist.data.clip import ClipMeta
from cavs_dist.data.shard import ClipEntry, Member
from cavs_dist.data.split import Split
from cavs_dist.errors import InputError
from cavs_dist.methods import METHODS
from cavs_dist.run_folder import RunFolder
from cavs_dist.scaling.rates import Rates
from cavs_dist.setting import Setting, refuse_impossible
from cavs_dist.tasks import TASKS

CLIPS_OF_SHARD = 1000
KEY = "clip-{:019d}"  # 24 characters, as docs/memory.md assumes


def made_up_setting(run: Run, clips: Sequence[int], rates: Rates) -> Setting:
    """Return the setting of a run whose stages have so many training `clips`, each of one of the stage's classes.

    Raises InputError where the split of the curriculum has no such number of stages.
    """
    names = class_names(run.curriculum.order, run.curriculum.split, len(clips))
    stages = make_stages(set(names), run.curriculum)
    heard = [stage.new[i % len(stage.new)] for stage, count in zip(stages, clips, strict=True) for i in range(count)]
    entries = [_clip(number, name, run.data.size, rates) for number, name in enumerate(heard)]
    shards = tuple(tuple(entries[i : i + CLIPS_OF_SHARD]) for i in range(0, len(entries), CLIPS_OF_SHARD))
    split = Split(dict(enumerate(names, 1)), shards, "")
    task = TASKS[run.task.name](run.model, run.evaluate, run.seed)
    method = METHODS[run.task.name][run.method.name](run.method, task.loss)
    setting = Setting(run, task, method, stages, split, split, split, RunFolder(Path(run.out)))
    refuse_impossible(setting)
    return setting


def class_names(order: Sequence[str], split: str, stages: int) -> list[str]:
    """Return as many class names as `stages` stages of `split` bring, those of `order` first."""
    found = re.fullmatch(r"([1-9]\d*)(?:-([1-9]\d*))?", split)
    first, more = (int(found[1]), int(found[2] or 0)) if found else (0, 0)
    count = first + more * (stages - 1)
    if stages > 1 and not more:
        raise InputError(f"--clips has {stages} stages, but curriculum.split={split} has one: give one number")
    named = [] if tuple(order) in (("alphabetical",), ("seed",)) else [name for name in order if name != REST]
    if named and REST not in order and len(named) != count:
        raise InputError(
            f"--clips has {stages} stages, which bring {count} classes under curriculum.split={split}, but "
            f"curriculum.order names {len(named)}: give a number of clips for each stage"
        )
    return [*named, *(f"class-{number:04d}" for number in range(len(named), count))]


def _clip(number: int, name: str, size: int, rates: Rates) -> ClipEntry:
    frames = tuple(range(rates.clip_frames))
    meta = ClipMeta((name,), len(frames), frames, (size, size), 16_000, float(len(frames)))
    return ClipEntry(KEY.format(number), Path(), meta, {"json": Member(0, round(rates.clip_bytes), 0)})
