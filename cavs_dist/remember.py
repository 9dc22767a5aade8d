"""After a stage: score its clips with two models, and choose what memory keeps (MSS, CMR arXiv 2510.17234)."""

from collections import defaultdict
from collections.abc import Iterator
from functools import partial

from torch import Tensor, nn

from cavs_dist import distributed
from cavs_dist.curriculum import Stage
from cavs_dist.files import writing
from cavs_dist.memory import payload
from cavs_dist.memory.admission import Admission
from cavs_dist.memory.herding import distances_to_mean
from cavs_dist.memory.memory import ExemplarMemory
from cavs_dist.memory.select import DRAWN, SCORED, Candidate, chance, quotas
from cavs_dist.memory.synchronize import synchronize
from cavs_dist.outputs import Batch
from cavs_dist.run_folder import write_json
from cavs_dist.setting import Setting
from cavs_dist.tasks.base import evaluating


def wants_memory(setting: Setting, stage: Stage) -> bool:
    """Tell whether anything is selected after `stage`."""
    config = setting.run.memory
    return config.select != "none" and (stage is not setting.stages[-1] or config.last)


def wants_twin(setting: Setting, stage: Stage) -> bool:
    """Tell whether the selection after `stage` compares the model with its twin."""
    config = setting.run.memory
    return wants_memory(setting, stage) and config.select in SCORED and config.unimodal == "twin"


def wants_hearing_twin(setting: Setting, stage: Stage) -> bool:
    """Tell whether the selection after `stage` scores a twin that hears in the model's place."""
    config = setting.run.memory
    return wants_memory(setting, stage) and config.select in SCORED and config.multimodal == "twin"


def remember(setting: Setting, stage: Stage, model: nn.Module, twin: nn.Module | None) -> None:
    """Select the stage's exemplars on all ranks alike, and store them. Collective.

    Each rank scores its part of the stage's clips and keeps those that can still be chosen; then the ranks agree.
    """
    config = setting.run.memory
    quota = quotas(config.per_class, config.total, stage.seen)
    admission = Admission(config.select, {name: quota[name] for name in stage.new})
    for clip in _candidates(setting, stage, model, twin):
        admission.offer(clip)
    memory = setting.memory_before(stage).admit(synchronize(admission), stage.index, quota)
    distributed.refuse_unequal(memory.digest(), "memory")
    _store(setting, stage, memory)


def _store(setting: Setting, stage: Stage, memory: ExemplarMemory) -> None:
    """Copy the stage's exemplars into the run folder, then write which they are. Collective."""
    kept, names = set(memory.keys(stage.index)), dict(setting.train.names)
    stored = [clip for clip in setting.clips_of(stage).clips if clip.key in kept]
    rank, world = distributed.rank(), distributed.world_size()
    with distributed.together(), writing(setting.exemplars):
        if setting.run.memory.payload == "exchange":
            payload.discard(setting.exemplars, stage.index, world)
            payload.store(setting.exemplars, stage.index, stored[rank::world], names, holder=rank)
        elif distributed.is_first():
            payload.store(setting.exemplars, stage.index, stored, names)
    with distributed.together():
        write_json(setting.folder.product(stage.index, "memory.json"), memory.to_json())


def _candidates(setting: Setting, stage: Stage, model: nn.Module, twin: nn.Module | None) -> Iterator[Candidate]:
    """Yield this rank's part of the stage's clips with the scores that the rule judges them by. Collective.

    A clip that had to be skipped has no score, and is no candidate.
    """
    run, clips = setting.run, setting.clips_of(stage).clips
    rule = run.memory.select
    if rule in DRAWN:
        mine = clips[distributed.rank() :: distributed.world_size()]
        for clip in payload.readable(mine) if run.data.on_corrupt == "skip" else mine:
            yield Candidate(clip.key, clip.meta.classes, chance(rule, clip.key, run.seed, stage.index))
    elif rule == "herding":
        yield from _by_feature(setting, stage, model)
    else:
        heard = {clip.key: clip.meta.classes for clip in clips}
        for key, delta in setting.task.gains(model, twin, partial(_read, setting, stage), stage):
            yield Candidate(key, heard[key], delta)


def _by_feature(setting: Setting, stage: Stage, model: nn.Module) -> Iterator[Candidate]:
    """Yield clips with the distance of their feature to the mean of each class's."""
    features: dict[str, dict[str, Tensor]] = defaultdict(dict)
    with evaluating(model):
        for batch in _read(setting, stage, f"stage {stage.index}, herding"):
            for name, key, feature in setting.task.features(model, batch, stage):
                features[name][key] = feature
    for name in stage.new:
        for key, distance in distances_to_mean(features[name]).items():
            yield Candidate(key, (name,), distance)


def _read(setting: Setting, stage: Stage, what: str) -> Iterator[Batch]:
    return setting.batches(setting.clips_of(stage).clips, stage, "train", what)
