"""Joint training: at every stage a new model learns all classes seen from all their clips. The upper bound."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from cavs_dist.methods.base import Method, MethodConfig


@dataclass(frozen=True)
class JointConfig(MethodConfig):
    """The section `method` of `joint`.

    name: `joint`.
    """

    name: str = "joint"


class Joint(Method):
    """The task's own loss on the clips of all classes seen, with all their labels, from a fresh start."""

    Config = JointConfig
    teacher = False
    scope = "seen"
    restart = True

    def loss(self, batch: Any, outputs: Any, teacher: Any) -> dict[str, Tensor]:
        """Return the task's own loss."""
        return self.plain(batch, outputs)
