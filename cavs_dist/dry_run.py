"""What a run would do, said before it does anything: `train --dry-run`."""

from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

from cavs_dist.config import Run
from cavs_dist.curriculum import Stage
from cavs_dist.data.order import refuse_uneven
from cavs_dist.data.rehearse import Plan
from cavs_dist.memory.memory import ExemplarMemory
from cavs_dist.memory.select import Candidate, quotas
from cavs_dist.remember import wants_memory, wants_twin
from cavs_dist.setting import Setting, open_setting
from cavs_dist.start import open_start


def print_dry_run(run: Run, console: Console) -> None:
    """Print stages, clips, updates, memory and disk of a run; raise InputError for what would fail. Writes nothing."""
    setting = open_setting(run)
    open_start(setting)
    parameters = _parameters(setting)
    console.print(stage_table(setting))
    weights, checkpoints, exemplars = disk_bytes(setting)
    console.print(
        f"{parameters / 1e6:.2f} M parameters; memory {20 * parameters / 1e6:.0f} MB on one rank (weights, gradients, "
        f"two moments, teacher) beside activations; on disk at most {weights / 1e6:.0f} MB of weights, "
        f"{checkpoints / 1e6:.0f} MB of checkpoints, {exemplars / 1e6:.1f} MB of exemplars, in {Path(run.out)}"
    )


def disk_bytes(setting: Setting) -> tuple[float, float, float]:
    """Return the most bytes of weights, of checkpoints and of exemplars that a run has in its folder at once."""
    parameters = _parameters(setting)
    checkpoints = setting.run.train.checkpoints + 1  # a new one is written before an old one goes
    return 4 * parameters * len(setting.stages), 16 * parameters * checkpoints, _payload(setting)


def _parameters(setting: Setting) -> int:
    """Return the parameters of the main model of the last stage."""
    return sum(p.numel() for p in setting.fresh_model("main", setting.stages[-1]).parameters())


def stage_table(setting: Setting) -> Table:
    """Return one row a stage: its classes, clips, updates and the memory that it is rehearsed with."""
    table = Table("stage", "new classes", "train clips", "updates", "exemplars before", "twin")
    for stage in setting.stages:
        memory = expected_memory(setting, stage)
        plan = setting.plan(stage, setting.clips_of(stage, setting.method.scope), memory, {})
        refuse_uneven(plan.batch, plan.memory_slots, 1)
        table.add_row(
            str(stage.index),
            ", ".join(stage.new) if len(stage.new) <= 10 else f"{', '.join(stage.new[:8])} ... ({len(stage.new)})",
            str(sum(plan.shard_sizes)),
            str(updates_of(setting, plan)),
            str(sum(len(kept) for kept in memory.classes.values())),
            "yes" if wants_twin(setting, stage) else "no",
        )
    return table


def expected_memory(setting: Setting, stage: Stage) -> ExemplarMemory:
    """Return a memory of the size that it will have before `stage`; which clips it holds only training decides."""
    config, memory = setting.run.memory, ExemplarMemory()
    for before in setting.stages[: stage.index]:
        if wants_memory(setting, before):
            heard = {name: tuple(_heard(setting, before, name)) for name in before.new}
            memory = memory.admit(heard, before.index, quotas(config.per_class, config.total, before.seen))
    return memory


def _heard(setting: Setting, stage: Stage, name: str) -> Iterator[Candidate]:
    for clip in setting.clips_of(stage).clips:
        if name in clip.meta.classes:
            yield Candidate(clip.key, (name,))


def updates_of(setting: Setting, plan: Plan) -> int:
    """Return how many updates the main model's training has by `plan`, none where its stage is taken over."""
    adopted = plan.stage == 0 and setting.run.train.start
    return 0 if adopted else setting.run.train.epochs * plan.epoch_length


def _payload(setting: Setting) -> float:
    """Return about how many bytes the exemplars take: their number times a clip's mean size."""
    clips = setting.train.clips
    mean = sum(member.size for clip in clips for member in clip.members.values()) / len(clips)
    kept = expected_memory(setting, setting.stages[-1])
    return mean * len(kept.keys())
