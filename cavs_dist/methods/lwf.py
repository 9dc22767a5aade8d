"""Learning without Forgetting (Li and Hoiem, arXiv 1606.09282): keep the teacher's probabilities of old classes."""

from dataclasses import dataclass

from torch import Tensor

from cavs_dist.losses.distill import distillation
from cavs_dist.losses.segment import cross_entropy
from cavs_dist.methods.base import Method, MethodConfig
from cavs_dist.outputs import Batch, Outputs


@dataclass(frozen=True)
class LwfConfig(MethodConfig):
    """The section `method` of `lwf`.

    name: `lwf`. distill: weight of the distillation; 100 is what MiB's comparison uses (arXiv 2002.00718).
    """

    name: str = "lwf"
    distill: float = 100.0


class Lwf(Method):
    """Cross-entropy, and distillation over background and old classes."""

    config: LwfConfig
    Config = LwfConfig

    def loss(self, batch: Batch, outputs: Outputs, teacher: Outputs | None) -> dict[str, Tensor]:
        """Return the cross-entropy and the distillation."""
        segment = (batch.label_weight * cross_entropy(outputs, batch.labels)).sum()
        if teacher is None:
            return {"segment": segment}
        distill = (batch.frame_weight * distillation(outputs, teacher)).sum()
        return {"segment": segment, "distill": self.config.distill * distill}
