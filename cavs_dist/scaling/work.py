"""How much there is to do: clips, updates and rehearsal of every stage, from the index."""

import math
from dataclasses import dataclass, replace

import torch

from cavs_dist.dry_run import expected_memory, updates_of
from cavs_dist.memory.select import quotas
from cavs_dist.remember import wants_hearing_twin, wants_memory, wants_twin
from cavs_dist.setting import Setting


@dataclass(frozen=True)
class StageWork:
    """One stage's work.

    classes: new ones. labels: with background, of all seen. clips: of the stage. updates: of the main model. twins: of
    its twins. exemplars: before the stage. rehearsed: slots of an update that memory fills, on average under `concat`.
    places: most exemplars that a new class may get after the stage, 0 where none are kept.
    """

    stage: int
    classes: int
    labels: int
    clips: int
    updates: int
    twins: int
    exemplars: int
    rehearsed: float
    places: int


@dataclass(frozen=True)
class Work:
    """All stages, and a mean clip. clip_bytes: of all its members. pixels: of the frames that are decoded of it.

    clips: read for a slot. key: bytes of the longest key.
    """

    stages: tuple[StageWork, ...]
    clip_bytes: float
    pixels: float
    clips: int
    key: int

    @property
    def updates(self) -> int:
        """Updates of all fits."""
        return sum(stage.updates + stage.twins for stage in self.stages)

    @property
    def rehearsed(self) -> float:
        """Slots that memory fills, in the stage where they are most."""
        return max(stage.rehearsed for stage in self.stages)


def with_batch(setting: Setting, batch: int, micro_batch: int) -> Setting:
    """Return the setting of the same run with another number of slots."""
    run = setting.run
    optim, engine = replace(run.optim, batch=batch), replace(run.engine, micro_batch=micro_batch)
    return replace(setting, run=replace(run, optim=optim, engine=engine))


def count_work(setting: Setting) -> Work:
    """Count what a run does, stage by stage."""
    clips, wanted = setting.train.clips, setting.run.data.frames
    frames = wanted or setting.train.frames
    with torch.device("meta"):
        looked_at = setting.task.blank(setting.run.data, frames, 1).frames.numel() > 0
    shown = (min(clip.meta.frames, frames) * math.prod(clip.meta.size) for clip in clips)
    return Work(
        stages=tuple(stage_work(setting, number) for number in range(len(setting.stages))),
        clip_bytes=sum(member.size for clip in clips for member in clip.members.values()) / len(clips),
        pixels=sum(shown) / len(clips) if looked_at else 0.0,
        clips=setting.transform(setting.stages[-1], "train", frames).clips,
        key=max(len(clip.key.encode()) for clip in clips),
    )


def stage_work(setting: Setting, number: int) -> StageWork:
    """Count one stage's work."""
    stage, config = setting.stages[number], setting.run.memory
    memory = expected_memory(setting, stage)
    clips = setting.clips_of(stage, setting.method.scope)
    plan = setting.plan(stage, clips, memory, {})
    updates = updates_of(setting, plan)
    alone = replace(plan, mode="ratio", memory_slots=0, exemplars={})  # a twin's: without memory
    twins = wants_twin(setting, stage) + wants_hearing_twin(setting, stage)
    quota = quotas(config.per_class, config.total, stage.seen)
    return StageWork(
        stage=number,
        classes=len(stage.new),
        labels=stage.num_labels,
        clips=len(clips.clips),
        updates=updates,
        twins=twins * updates_of(setting, alone),
        exemplars=sum(len(kept) for kept in memory.classes.values()),
        rehearsed=plan.memory_share * plan.batch if any(memory.classes.values()) else 0.0,
        places=max(quota[name] for name in stage.new) if wants_memory(setting, stage) else 0,
    )
