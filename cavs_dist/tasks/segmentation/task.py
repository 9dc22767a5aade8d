"""The task of continual audio-visual segmentation (CMR, arXiv 2510.17234)."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cavs_dist import distributed
from cavs_dist.curriculum import Stage
from cavs_dist.data.augment import MEAN, STD
from cavs_dist.files import whole
from cavs_dist.metrics.continual import summarise
from cavs_dist.models.attention import refuse_groups
from cavs_dist.models.audio import EMBEDDING
from cavs_dist.models.heads import HeadInit
from cavs_dist.outputs import Batch, Outputs
from cavs_dist.tasks.base import LabelRole, ModelRole, Task, evaluating
from cavs_dist.tasks.segmentation.evaluate import EvaluateConfig, count, record, stage_scores
from cavs_dist.tasks.segmentation.labels import label_table
from cavs_dist.tasks.segmentation.model import ModelConfig, Segmenter, make_segmenter


class Segmentation(Task):
    """Mark the pixels of what sounds, with the class of each."""

    ModelConfig = ModelConfig
    EvaluateConfig = EvaluateConfig

    def refuse_frames(self, frames: int) -> None:
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

    def table(self, names: Mapping[int, str], stage: Stage, role: LabelRole) -> NDArray[Any]:
        """Return the table from mask ids to labels."""
        return label_table(names, stage, role)

    def mean_embedding(self, model: nn.Module, batches: Iterable[Batch]) -> Tensor:
        """Return the mean audio embedding, [128], over present frames. Collective."""
        assert isinstance(model, Segmenter)
        total = torch.zeros(EMBEDDING, dtype=torch.float64, device=distributed.device())
        frames = 0.0
        with evaluating(model):
            for batch in batches:
                total = total + model.embed(batch).sum(dim=0)
                frames += float(batch.present.sum())
        both = distributed.sum_over_ranks(torch.cat((total, total.new_tensor([frames]))))
        return (both[:-1] / both[-1]).float()

    def silenced(self, model: nn.Module, batch: Batch, embedding: Tensor) -> Outputs:
        """Return the outputs where every present frame sounds like `embedding`."""
        outputs: Outputs = model(batch, embedding * batch.present.view(-1, 1))
        return outputs

    def evaluate(self, model: nn.Module, batches: Iterable[Batch], stage: Stage) -> dict[str, Any]:
        """Judge on all ranks' batches. Collective."""
        with evaluating(model):
            return record(count(model, batches, stage, distributed.device()), stage)

    def metrics(self, records: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
        """Summarise stages 0 to s (`metrics/continual.py`)."""
        summary = summarise(stage_scores(records), self.evaluate_config.absent)
        return {name: value for name, value in summary.items() if name not in ("average", "stages")}

    def validation_score(self, record: Mapping[str, Any]) -> float:
        """Mean IoU of the stage's own classes."""
        by_class = dict(zip(record["classes"], record["iou"], strict=True))
        known = [by_class[name] for name in record["new"] if by_class[name] is not None]
        return sum(known) / len(known) if known else 0.0

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
