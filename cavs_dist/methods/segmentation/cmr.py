"""CMR's loss (arXiv 2510.17234): pseudo-labels and local POD as in PLOP, made for clips that come from memory too.

Its other two ideas are not in the loss: the sections `memory` (select=consistency, MSS) and `rehearse`
(weight=collision, CSR) put them beside it.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from cavs_dist import distributed
from cavs_dist.curriculum import Stage
from cavs_dist.losses.match import matching
from cavs_dist.losses.pod import pod_distillation
from cavs_dist.losses.pseudo import median_entropies
from cavs_dist.methods.base import Method, MethodConfig, PlainLoss
from cavs_dist.outputs.segmentation import Batch, Outputs
from cavs_kernels.segmentation_loss import segmentation_terms


@dataclass(frozen=True)
class CmrConfig(MethodConfig):
    """The section `method` of `cmr`.

    name: `cmr`. pseudo: what background becomes: the teacher's class where it is surer than the class's `median`
    (PLOP, arXiv 2011.11390), `all` its classes (as CMR's release comes out), or `none`.
    memory_labels: `keep` the truth of rehearsed clips, or `pseudo`-label all that is not new in them too (as released).
    pod: weight of local POD on the levels and the head map. pod_logits: its weight on the logits.
    matching: weight of AVSBench's audio-visual matching loss, there 0.5.
    align: after a stage, scale the new classifiers' weights to the old ones' mean length (arXiv 1911.07053).
    adaptive: weigh a frame by the share of its pseudo-labels that was accepted (PLOP).
    schedule: let POD grow with sqrt(labels / new classes), labels being all classes seen and background (PLOP).
    """

    name: str = "cmr"
    pseudo: Literal["median", "all", "none"] = "median"
    memory_labels: Literal["keep", "pseudo"] = "keep"
    pod: float = 0.01
    pod_logits: float = 0.0005
    matching: float = 0.0
    align: bool = False
    adaptive: bool = False
    schedule: bool = False


class Cmr(Method[Batch, Outputs]):
    """Cross-entropy on pseudo-labels, and local POD; new classifiers start from the background's (MiB, 2002.00718)."""

    config: CmrConfig
    Config = CmrConfig
    head = "background"

    def __init__(self, config: CmrConfig, plain: PlainLoss) -> None:
        super().__init__(config, plain)
        self.thresholds: Tensor | None = None

    def begin(self, stage: Stage, model: nn.Module, clips: Iterable[tuple[Batch, Outputs]]) -> None:
        """Find how sure the teacher has to be of each class; only `pseudo=median` reads the clips. Collective."""
        self.thresholds = None
        if stage.index > 0 and self.config.pseudo == "median":
            self.thresholds = median_entropies(clips, stage.num_old)
        elif stage.index > 0 and self.config.pseudo == "all":
            self.thresholds = torch.full((1 + stage.num_old,), math.inf, device=distributed.device())

    def loss(self, batch: Batch, outputs: Outputs, teacher: Outputs | None) -> dict[str, Tensor]:
        """Return the terms; at stage 0 plain cross-entropy."""
        if teacher is None:
            return self.plain(batch, outputs)
        keep = batch.frames_from_memory & (self.config.memory_labels == "keep")
        found = segmentation_terms(outputs.head, batch.labels, teacher.head, thresholds=self.thresholds, keep=keep)
        weight = batch.label_weight * found.accepted if self.config.adaptive else batch.label_weight
        pod = pod_distillation(outputs, teacher, self.config.pod, self.config.pod_logits)
        terms = {
            "segment": (weight * found.cross_entropy).sum(),
            "pod": self._growth(outputs, teacher) * (batch.frame_weight * pod).sum(),
        }
        if self.config.matching:
            terms["matching"] = self.config.matching * (batch.frame_weight * matching(outputs)).sum()
        return terms

    def end(self, stage: Stage, model: nn.Module, clips: Iterable[Batch]) -> None:
        """Align the new classifiers with the old, if asked."""
        if self.config.align and stage.index > 0:
            _align(*(model.get_parameter(f"heads.heads.{index}.weight") for index in range(stage.index + 1)))

    def state_dict(self) -> Mapping[str, Any]:
        """Return the thresholds of the stage that has begun."""
        return {} if self.thresholds is None else {"thresholds": self.thresholds}

    def load_state_dict(self, state: Mapping[str, Any], model: nn.Module) -> None:
        """Take the thresholds back, on this rank's device."""
        self.thresholds = state["thresholds"].to(distributed.device()) if state else None

    def _growth(self, outputs: Outputs, teacher: Outputs) -> float:
        if not self.config.schedule:
            return 1.0
        return math.sqrt(outputs.num_classes / (outputs.num_classes - teacher.num_classes))


@torch.no_grad()
def _align(background_and_first: Tensor, *later: Tensor) -> None:
    """Scale the last stage's rows in place so that their mean length is the old classes', background left out."""
    old = torch.cat([background_and_first[1:], *later[:-1]])
    later[-1].mul_(old.norm(dim=1).mean() / later[-1].norm(dim=1).mean())
