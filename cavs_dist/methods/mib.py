"""MiB (Cermelli et al., arXiv 2002.00718): what a stage's labels call background may be an old class."""

from dataclasses import dataclass

import torch
from torch import Tensor

from cavs_dist.losses.distill import unbiased_distillation
from cavs_dist.losses.segment import cross_entropy, unbiased_cross_entropy
from cavs_dist.methods.base import Method, MethodConfig
from cavs_dist.outputs import Batch, Outputs


@dataclass(frozen=True)
class MibConfig(MethodConfig):
    """The section `method` of `mib`.

    name: `mib`. distill: weight of the unbiased distillation.
    """

    name: str = "mib"
    distill: float = 10.0


class Mib(Method):
    """Unbiased cross-entropy, unbiased distillation, and new classifiers that start from the background's."""

    config: MibConfig
    Config = MibConfig
    head = "background"

    def loss(self, batch: Batch, outputs: Outputs, teacher: Outputs | None) -> dict[str, Tensor]:
        """Return the two terms; at stage 0 plain cross-entropy."""
        plain = cross_entropy(outputs, batch.labels)
        if teacher is None:
            return {"segment": (batch.label_weight * plain).sum()}
        # In rehearsed frames old classes have their labels: there, background hides nothing.
        unbiased = unbiased_cross_entropy(outputs, batch.labels, num_old=teacher.num_classes - 1)
        segment = torch.where(batch.frames_from_memory, plain, unbiased)
        distill = (batch.frame_weight * unbiased_distillation(outputs, teacher)).sum()
        return {"segment": (batch.label_weight * segment).sum(), "distill": self.config.distill * distill}
