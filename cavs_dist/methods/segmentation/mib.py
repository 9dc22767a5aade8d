"""MiB (Cermelli et al., arXiv 2002.00718): what a stage's labels call background may be an old class."""

from dataclasses import dataclass

from torch import Tensor

from cavs_dist.methods.base import Method, MethodConfig
from cavs_dist.outputs.segmentation import Batch, Outputs
from cavs_kernels.segmentation_loss import segmentation_terms


@dataclass(frozen=True)
class MibConfig(MethodConfig):
    """The section `method` of `mib`.

    name: `mib`. distill: weight of the unbiased distillation.
    """

    name: str = "mib"
    distill: float = 10.0


class Mib(Method[Batch, Outputs]):
    """Unbiased cross-entropy, unbiased distillation, and new classifiers that start from the background's."""

    config: MibConfig
    Config = MibConfig
    head = "background"

    def loss(self, batch: Batch, outputs: Outputs, teacher: Outputs | None) -> dict[str, Tensor]:
        """Return the two terms; at stage 0 plain cross-entropy."""
        if teacher is None:
            return self.plain(batch, outputs)
        terms = segmentation_terms(
            outputs.head,
            batch.labels,
            teacher.head,
            unbiased=True,
            distill="unbiased",
            # In rehearsed frames old classes have their labels: there, background hides nothing.
            keep=batch.frames_from_memory,
        )
        distill = (batch.frame_weight * terms.distillation).sum()
        return {
            "segment": (batch.label_weight * terms.cross_entropy).sum(),
            "distill": self.config.distill * distill,
        }
