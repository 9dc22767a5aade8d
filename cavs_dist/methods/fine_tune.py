"""Fine-tuning: plain training on each stage, with nothing against forgetting. The lower bound."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from cavs_dist.methods.base import Method, MethodConfig


@dataclass(frozen=True)
class FineTuneConfig(MethodConfig):
    """The section `method` of `fine_tune`.

    name: `fine_tune`.
    """

    name: str = "fine_tune"


class FineTune(Method):
    """The task's own loss on the stage's own clips (where old classes are background, in segmentation)."""

    Config = FineTuneConfig
    teacher = False

    def loss(self, batch: Any, outputs: Any, teacher: Any) -> dict[str, Tensor]:
        """Return the task's own loss."""
        return self.plain(batch, outputs)
