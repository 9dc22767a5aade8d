"""PLOP (Douillard et al., arXiv 2011.11390): local POD on all maps, and pseudo-labels where the teacher is sure."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from cavs_dist import distributed
from cavs_dist.curriculum import Stage
from cavs_dist.losses.pod import pod_distillation
from cavs_dist.losses.pseudo import median_entropies
from cavs_dist.methods.base import Method, MethodConfig, PlainLoss
from cavs_dist.outputs.segmentation import Batch, Outputs
from cavs_kernels.segmentation_loss import segmentation_terms


@dataclass(frozen=True)
class PlopConfig(MethodConfig):
    """The section `method` of `plop`.

    name: `plop`. pod: weight of local POD on the levels and the head map. pod_logits: its weight on the logits.
    """

    name: str = "plop"
    pod: float = 0.01
    pod_logits: float = 0.0005


class Plop(Method[Batch, Outputs]):
    """Cross-entropy on pseudo-labels, weighted by the share that was accepted, and local POD.

    POD grows with sqrt(labels / new classes), labels being all classes seen and background.
    """

    config: PlopConfig
    Config = PlopConfig
    head = "background"

    def __init__(self, config: PlopConfig, plain: PlainLoss) -> None:
        super().__init__(config, plain)
        self.thresholds: Tensor | None = None

    def begin(self, stage: Stage, model: nn.Module, clips: Iterable[tuple[Batch, Outputs]]) -> None:
        """Find the median entropy of each class that the teacher predicts. Collective."""
        self.thresholds = median_entropies(clips, stage.num_old) if stage.index > 0 else None

    def loss(self, batch: Batch, outputs: Outputs, teacher: Outputs | None) -> dict[str, Tensor]:
        """Return the two terms; at stage 0 plain cross-entropy."""
        if teacher is None:
            return self.plain(batch, outputs)
        assert self.thresholds is not None
        kept = batch.frames_from_memory
        terms = segmentation_terms(outputs.head, batch.labels, teacher.head, thresholds=self.thresholds, keep=kept)
        segment = (batch.label_weight * terms.accepted * terms.cross_entropy).sum()
        growth = math.sqrt(outputs.num_classes / (outputs.num_classes - teacher.num_classes))
        pod = pod_distillation(outputs, teacher, self.config.pod, self.config.pod_logits)
        return {"segment": segment, "pod": growth * (batch.frame_weight * pod).sum()}

    def state_dict(self) -> Mapping[str, Any]:
        """Return the thresholds of the stage that has begun."""
        return {} if self.thresholds is None else {"thresholds": self.thresholds}

    def load_state_dict(self, state: Mapping[str, Any], model: nn.Module) -> None:
        """Take the thresholds back, on this rank's device."""
        self.thresholds = state["thresholds"].to(distributed.device()) if state else None
