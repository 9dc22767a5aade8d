"""Joint training: at every stage a new model learns all classes seen from all their clips. The upper bound."""

from dataclasses import dataclass

from torch import Tensor

from cavs_dist.losses.segment import cross_entropy
from cavs_dist.methods.base import Method, MethodConfig
from cavs_dist.outputs import Batch, Outputs


@dataclass(frozen=True)
class JointConfig(MethodConfig):
    """The section `method` of `joint`.

    name: `joint`.
    """

    name: str = "joint"


class Joint(Method):
    """Cross-entropy on the clips of all classes seen, with all their labels, from a fresh start."""

    Config = JointConfig
    teacher = False
    scope = "seen"
    restart = True

    def loss(self, batch: Batch, outputs: Outputs, teacher: Outputs | None) -> dict[str, Tensor]:
        """Return the cross-entropy."""
        return {"segment": (batch.label_weight * cross_entropy(outputs, batch.labels)).sum()}
