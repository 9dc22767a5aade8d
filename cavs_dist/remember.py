"""After a stage: score its clips with two models, and choose what memory keeps (MSS, CMR arXiv 2510.17234)."""

from collections.abc import Iterable, Iterator, Mapping

from torch import Tensor, nn

from cavs_dist import distributed
from cavs_dist.curriculum import Stage
from cavs_dist.memory import payload
from cavs_dist.memory.herding import Features, class_features, distances
from cavs_dist.memory.memory import ExemplarMemory
from cavs_dist.memory.score import score_clips
from cavs_dist.memory.select import SCORED, Candidate, select
from cavs_dist.outputs import Batch
from cavs_dist.run_folder import write_json
from cavs_dist.setting import Setting
from cavs_dist.tasks.base import evaluating

Scores = Mapping[str, Mapping[str, float]]  # class -> clip's key -> score


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


def remember(setting: Setting, stage: Stage, model: nn.Module, twin: nn.Module | None) -> ExemplarMemory:
    """Select the stage's exemplars on all ranks alike, store them, and return the memory. Collective."""
    clips = setting.clips_of(stage).clips
    scores = _scores(setting, stage, model, twin)
    memory = setting.memory_before(stage).admit(_choose(setting, stage, scores), stage.index)
    distributed.refuse_unequal(memory.digest(), "memory")
    if distributed.is_first():
        kept = set(memory.keys(stage.index))
        stored = [clip for clip in clips if clip.key in kept]
        payload.store(setting.folder.memory, stage.index, stored, dict(setting.train.names))
        write_json(setting.folder.product(stage.index, "memory.json"), memory.to_json())
    distributed.barrier()
    return memory


def _choose(setting: Setting, stage: Stage, scores: Scores) -> dict[str, tuple[Candidate, ...]]:
    """Choose each new class's exemplars by its clips' scores; a clip without one was skipped, and is no candidate."""
    run, clips = setting.run, setting.clips_of(stage).clips
    chosen: dict[str, tuple[Candidate, ...]] = {}
    for name in stage.new:
        known = scores[name]
        candidates = [Candidate(clip.key, clip.meta.classes, known[clip.key]) for clip in clips if clip.key in known]
        chosen |= select(run.memory.select, candidates, (name,), run.memory.per_class, run.seed, stage.index)
    return chosen


def _scores(setting: Setting, stage: Stage, model: nn.Module, twin: nn.Module | None) -> Scores:
    """Return the scores of the stage's clips for each new class, on all ranks. Collective."""
    rule, clips = setting.run.memory.select, setting.clips_of(stage).clips
    if rule == "herding":
        features = _features(setting, stage, model)
        return {name: distances(features, 1 + stage.seen.index(name)) for name in stage.new}
    same = _deltas(setting, stage, model, twin) if rule in SCORED else {clip.key: 0.0 for clip in clips}
    return dict.fromkeys(stage.new, same)


def _features(setting: Setting, stage: Stage, model: nn.Module) -> Features:
    """Return every clip's mean feature of each class, on the deepest map after attention, on all ranks. Collective."""
    mine: dict[tuple[int, str], list[float]] = {}
    with evaluating(model):
        for batch in setting.batches(setting.clips_of(stage).clips, stage, "train", f"stage {stage.index}, herding"):
            mine |= class_features(batch, model(batch).levels[-1])
    return {place: feature for part in distributed.gather_objects(mine) for place, feature in part.items()}


def _deltas(setting: Setting, stage: Stage, model: nn.Module, twin: nn.Module | None) -> dict[str, float]:
    """Return the Delta of every clip of the stage, on all ranks. Collective."""
    batches = setting.batches(setting.clips_of(stage).clips, stage, "train", f"stage {stage.index}, scoring")
    predictions = (
        _with_twin(model, twin, batches) if twin is not None else _with_silence(setting, stage, model, batches)
    )
    mine = dict(score_clips(predictions, stage.num_labels))
    return {key: score for part in distributed.gather_objects(mine) for key, score in part.items()}


def _with_twin(model: nn.Module, twin: nn.Module, batches: Iterable[Batch]) -> Iterator[tuple[Batch, Tensor, Tensor]]:
    with evaluating(model), evaluating(twin):
        for batch in batches:
            yield batch, model(batch).prediction(), twin(batch).prediction()


def _with_silence(
    setting: Setting, stage: Stage, model: nn.Module, batches: Iterable[Batch]
) -> Iterator[tuple[Batch, Tensor, Tensor]]:
    clips = setting.clips_of(stage).clips
    mean = setting.task.mean_embedding(model, setting.batches(clips, stage, "train", "mean sound"))
    with evaluating(model):
        for batch in batches:
            silent = setting.task.silenced(model, batch, mean)
            yield batch, model(batch).prediction(), silent.prediction()
