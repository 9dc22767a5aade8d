"""How far a run has to go, left in its folder at every start, so that others can tell without its data."""

from cavs_dist import distributed
from cavs_dist.curriculum import Stage
from cavs_dist.data.order import updates_per_epoch
from cavs_dist.memory.memory import ExemplarMemory
from cavs_dist.remember import wants_hearing_twin, wants_memory, wants_twin
from cavs_dist.run_folder import RunFolder, write_json
from cavs_dist.setting import Setting
from cavs_dist.tasks.base import ModelRole

FILE = "outlook.json"


def leave_outlook(setting: Setting, start: RunFolder | None) -> None:
    """Write the updates of every fit of each stage, and whether it remembers; by rank 0. Collective.

    start: the run whose stage 0 is taken over.
    """
    stages = [
        {
            "remembers": wants_memory(setting, stage),
            "fits": {role: _updates(setting, stage, role, start) for role in _roles(setting, stage)},
        }
        for stage in setting.stages
    ]
    with distributed.together():
        write_json(setting.folder.path / FILE, {"stages": stages})


def _roles(setting: Setting, stage: Stage) -> list[ModelRole]:
    """Return which models are trained at a stage, in their order."""
    roles: list[ModelRole] = ["main"]
    if wants_hearing_twin(setting, stage):
        roles.append("hearing_twin")
    return [*roles, "twin"] if wants_twin(setting, stage) else roles


def _updates(setting: Setting, stage: Stage, role: ModelRole, start: RunFolder | None) -> int | None:
    """Return the updates of a fit, None where only the memory before it will decide: with exemplars strewn in."""
    run = setting.run
    if stage.index == 0 and start is not None and start.product(0, f"{role}.safetensors").exists():
        return 0
    if role != "main":
        plan = setting.plan(stage, setting.clips_of(stage), ExemplarMemory(), {})
        return run.train.epochs * plan.epoch_length
    if stage.index > 0 and run.memory.select != "none" and run.rehearse.mode == "concat":
        return None
    clips = len(setting.clips_of(stage, setting.method.scope).clips)
    slots = run.optim.batch - setting.reserved_slots(stage)
    return run.train.epochs * updates_per_epoch(clips, slots, run.data.tail)
