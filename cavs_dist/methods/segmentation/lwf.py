"""Learning without Forgetting (Li and Hoiem, arXiv 1606.09282): keep the teacher's probabilities of old classes."""

from dataclasses import dataclass

from torch import Tensor

from cavs_dist.methods.base import Method, MethodConfig
from cavs_dist.outputs.segmentation import Batch, Outputs
from cavs_kernels.segmentation_loss import segmentation_terms


@dataclass(frozen=True)
class LwfConfig(MethodConfig):
    """The section `method` of `lwf`.

    name: `lwf`. distill: weight of the distillation; 100 is what MiB's comparison uses (arXiv 2002.00718).
    """

    name: str = "lwf"
    distill: float = 100.0


class Lwf(Method[Batch, Outputs]):
    """Cross-entropy, and distillation over background and old classes."""

    config: LwfConfig
    Config = LwfConfig

    def loss(self, batch: Batch, outputs: Outputs, teacher: Outputs | None) -> dict[str, Tensor]:
        """Return the cross-entropy and the distillation."""
        if teacher is None:
            return self.plain(batch, outputs)
        terms = segmentation_terms(outputs.head, batch.labels, teacher.head, distill="plain")
        distill = (batch.frame_weight * terms.distillation).sum()
        return {
            "segment": (batch.label_weight * terms.cross_entropy).sum(),
            "distill": self.config.distill * distill,
        }
