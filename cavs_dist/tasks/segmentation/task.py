"""The task of continual audio-visual segmentation (CMR, arXiv 2510.17234)."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cavs_dist import distributed
from cavs_dist.curriculum import Stage
from cavs_dist.data.augment import MEAN, STD
from cavs_dist.data.config import DataConfig
from cavs_dist.data.segmentation import Sample, SegmentationTransform, collate
from cavs_dist.data.shard import ClipEntry
from cavs_dist.errors import InputError
from cavs_dist.files import whole
from cavs_dist.losses.segment import segmentation_loss
from cavs_dist.memory.herding import class_features
from cavs_dist.memory.score import consistency
from cavs_dist.metrics.continual import stage_matrix, summarise
from cavs_dist.models.attention import refuse_groups
from cavs_dist.models.audio import EMBEDDING
from cavs_dist.models.heads import HeadInit
from cavs_dist.outputs.segmentation import Batch, Outputs
from cavs_dist.tasks.base import LabelRole, ModelRole, Task, evaluating
from cavs_dist.tasks.segmentation.evaluate import EvaluateConfig, count, record, stage_scores, validation_score
from cavs_dist.tasks.segmentation.labels import label_table
from cavs_dist.tasks.segmentation.model import ModelConfig, Segmenter, make_segmenter
from cavs_dist.track import Track

EXAMPLES = 6
EXAMPLE = (1, 96, 64)  # of log-mel, a frame's


class Segmentation(Task[Batch, Outputs]):
    """Mark the pixels of what sounds, with the class of each."""

    ModelConfig = ModelConfig
    EvaluateConfig = EvaluateConfig
    collides = True

    def refuse_data(self, config: DataConfig, frames: int) -> None:
        """Raise InputError where the groups of attention do not divide the frames."""
        refuse_groups(frames, self.model.group)

    def make_model(self, role: ModelRole, stages: Sequence[Stage], init: HeadInit) -> nn.Module:
        """Build the segmenter with a head for each of `stages`; the twin's attention is visual."""
        model = make_segmenter(self.model, role, self.seed)
        for stage in stages:
            model.grow(stage, init, self.seed)
        return model.to(distributed.device())

    def grow(self, model: nn.Module, stage: Stage, init: HeadInit) -> None:
        """Add the head of a new stage."""
        assert isinstance(model, Segmenter)
        model.grow(stage, init, self.seed)

    def refuse_clips(self, stage: Stage, clips: Sequence[ClipEntry]) -> None:
        """Raise InputError where no clip has a mask."""
        if not any(clip.meta.annotated for clip in clips):
            raise InputError(f"no clip of stage {stage.index} has a mask: there is nothing to learn {stage.new} from")

    def transform(
        self, config: DataConfig, names: Mapping[int, str], stage: Stage, role: LabelRole, frames: int
    ) -> SegmentationTransform:
        """Return the transform with the stage's table from mask ids to labels."""
        return SegmentationTransform(config, label_table(names, stage, role), frames)

    def blank(self, config: DataConfig, frames: int, slots: int) -> Batch:
        """Return `slots` clips."""
        labels = torch.zeros(frames, config.size, config.size, dtype=torch.int64)
        shown, heard = torch.zeros(frames, 3, config.size, config.size), torch.zeros(frames, *EXAMPLE)
        return collate([Sample("", shown, heard, labels, torch.ones(frames, dtype=torch.bool), False)] * slots, frames)

    def loss(self, batch: Batch, outputs: Outputs) -> dict[str, Tensor]:
        """Return the cross-entropy."""
        return segmentation_loss(batch, outputs)

    def evaluate(self, model: nn.Module, batches: Iterable[Batch], stage: Stage) -> dict[str, Any]:
        """Judge on all ranks' batches. Collective."""
        with evaluating(model):
            return record(count(model, batches, stage, distributed.device()), stage)

    def metrics(self, records: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
        """Summarise stages 0 to s (`metrics/continual.py`)."""
        summary = summarise(stage_scores(records), self.evaluate_config.absent)
        return {name: value for name, value in summary.items() if name not in ("average", "stages")}

    def validate(self, model: nn.Module, batches: Iterable[Batch], stage: Stage) -> float:
        """Return the mean IoU of the stage's own classes. Collective."""
        return validation_score(self.evaluate(model, batches, stage))

    def gains(
        self, model: nn.Module, twin: nn.Module | None, read: Callable[[str], Iterable[Batch]], stage: Stage
    ) -> Iterator[tuple[str, float]]:
        """Yield what sound adds (`memory/score.py`); without a twin, all sounds are replaced by the stage's mean."""
        assert isinstance(model, Segmenter)
        silence = mean_embedding(model, read("mean sound")) if twin is None else None
        twin = twin or model
        with evaluating(model), evaluating(twin):
            for batch in read(f"stage {stage.index}, scoring"):
                unimodal = twin(batch) if silence is None else silenced(model, batch, silence)
                delta = consistency(batch, model(batch).prediction(), unimodal.prediction(), stage.num_labels)
                yield from zip(batch.keys, delta.tolist(), strict=True)

    def features(self, model: nn.Module, batch: Batch, stage: Stage) -> Iterator[tuple[str, str, Tensor]]:
        """Yield the mean of the deepest map after attention over each class's pixels."""
        for label, key, feature in class_features(batch, model(batch).levels[-1]):
            yield stage.seen[label - 1], key, feature

    def examples(self, clips: Sequence[ClipEntry], stage: Stage) -> list[ClipEntry]:
        """Choose the first clip in which each class seen is heard, spread over the classes."""
        step = max(1, len(stage.seen) // EXAMPLES)
        chosen: dict[str, ClipEntry] = {}
        for name in stage.seen[::step][:EXAMPLES]:
            found = next((clip for clip in clips if name in clip.meta.classes and clip.key not in chosen), clips[0])
            chosen[found.key] = found
        return list(chosen.values())

    def save_examples(self, model: nn.Module, batch: Batch, path: Path) -> None:
        """Write keys, frames (bytes), truth and prediction of the batch's clips as a plain .npz."""
        with evaluating(model):
            prediction = model(batch).prediction()
        shape = (*batch.present.shape, *batch.labels.shape[1:])
        frames = batch.frames.float().cpu().numpy().transpose(0, 2, 3, 1) * STD + MEAN
        with whole(path) as beside, beside.open("wb") as file:
            np.savez_compressed(
                file,
                keys=np.array(batch.keys),
                frames=(np.clip(frames, 0, 1) * 255).round().astype(np.uint8).reshape(*shape, 3),
                truth=batch.labels.cpu().numpy().astype(np.uint8).reshape(shape),
                prediction=prediction.cpu().numpy().astype(np.uint8).reshape(shape),
            )

    def show(self, records: Sequence[Mapping[str, Any]], examples: Path, config: DataConfig, track: Track) -> None:
        """Show the IoU of each class after each stage, and the examples' masks."""
        track.table("stages", *stage_matrix(records, "iou"))
        with np.load(examples, allow_pickle=False) as shown:
            track.masks("examples", shown["frames"], shown["truth"], shown["prediction"], records[-1]["classes"])


def mean_embedding(model: Segmenter, batches: Iterable[Batch]) -> Tensor:
    """Return the mean audio embedding, [128], over present frames of all ranks. Collective."""
    total = torch.zeros(EMBEDDING, dtype=torch.float64, device=distributed.device())
    frames = 0.0
    with evaluating(model):
        for batch in batches:
            total = total + model.embed(batch).sum(dim=0)
            frames += float(batch.present.sum())
    both = distributed.sum_over_ranks(torch.cat((total, total.new_tensor([frames]))))
    return (both[:-1] / both[-1]).float()


def silenced(model: Segmenter, batch: Batch, embedding: Tensor) -> Outputs:
    """Return the outputs where every present frame sounds like `embedding`."""
    outputs: Outputs = model(batch, embedding * batch.present.view(-1, 1))
    return outputs
