"""Fine-tuning: plain training on each stage, with nothing against forgetting. The lower bound."""

from dataclasses import dataclass

from torch import Tensor

from cavs_dist.losses.segment import cross_entropy
from cavs_dist.methods.base import Method, MethodConfig
from cavs_dist.outputs import Batch, Outputs


@dataclass(frozen=True)
class FineTuneConfig(MethodConfig):
    """The section `method` of `fine_tune`.

    name: `fine_tune`.
    """

    name: str = "fine_tune"


class FineTune(Method):
    """Cross-entropy on the stage's own clips, where old classes are background."""

    Config = FineTuneConfig
    teacher = False

    def loss(self, batch: Batch, outputs: Outputs, teacher: Outputs | None) -> dict[str, Tensor]:
        """Return the cross-entropy."""
        return {"segment": (batch.label_weight * cross_entropy(outputs, batch.labels)).sum()}
