"""After a stage: score its clips with two models, and choose what memory keeps (MSS, CMR arXiv 2510.17234)."""

from collections.abc import Iterable, Iterator

from torch import Tensor, nn

from cavs_dist import distributed
from cavs_dist.curriculum import Stage
from cavs_dist.memory import payload
from cavs_dist.memory.memory import ExemplarMemory
from cavs_dist.memory.score import score_clips
from cavs_dist.memory.select import SCORED, Candidate, select
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


def remember(setting: Setting, stage: Stage, model: nn.Module, twin: nn.Module | None) -> ExemplarMemory:
    """Select the stage's exemplars on all ranks alike, store them, and return the memory. Collective."""
    run, clips = setting.run, setting.clips_of(stage).clips
    # A clip that could not be read, and was skipped as the policy says, has no score and is no candidate.
    scores = _scores(setting, stage, model, twin) if run.memory.select in SCORED else {clip.key: 0.0 for clip in clips}
    candidates = [Candidate(clip.key, clip.meta.classes, scores[clip.key]) for clip in clips if clip.key in scores]
    chosen = select(run.memory.select, candidates, stage.new, run.memory.per_class, run.seed, stage.index)
    memory = setting.memory_before(stage).admit(chosen, stage.index)
    distributed.refuse_unequal(memory.digest(), "memory")
    if distributed.is_first():
        kept = set(memory.keys(stage.index))
        stored = [clip for clip in clips if clip.key in kept]
        payload.store(setting.folder.memory, stage.index, stored, dict(setting.train.names))
        write_json(setting.folder.product(stage.index, "memory.json"), memory.to_json())
    distributed.barrier()
    return memory


def _scores(setting: Setting, stage: Stage, model: nn.Module, twin: nn.Module | None) -> dict[str, float]:
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
