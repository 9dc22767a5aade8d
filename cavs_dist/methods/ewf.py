"""Endpoints Weight Fusion (Xiao et al., CVPR 2023): after a stage, the mean of the old weights and the new."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from cavs_dist.curriculum import Stage
from cavs_dist.methods.base import Method, MethodConfig, PlainLoss
from cavs_dist.outputs import Batch


@dataclass(frozen=True)
class EwfConfig(MethodConfig):
    """The section `method` of `ewf`.

    name: `ewf`. new: eta, the share of the new weights.
    """

    name: str = "ewf"
    new: float = 0.5


class Ewf(Method):
    """The task's own loss; then eta new + (1 - eta) old weights and running statistics. What a stage adds stays new."""

    config: EwfConfig
    Config = EwfConfig
    teacher = False

    def __init__(self, config: EwfConfig, plain: PlainLoss) -> None:
        super().__init__(config, plain)
        self.old: dict[str, Tensor] = {}

    def loss(self, batch: Any, outputs: Any, teacher: Any) -> dict[str, Tensor]:
        """Return the task's own loss."""
        return self.plain(batch, outputs)

    @torch.no_grad()
    def end(self, stage: Stage, model: nn.Module, clips: Iterable[Batch]) -> None:
        """Fuse the weights in place, and remember them for the next stage."""
        weights = model.state_dict()
        for name, old in self.old.items():
            if weights[name].is_floating_point():
                weights[name].lerp_(old.to(weights[name]), 1 - self.config.new)
        self.old = {name: value.detach().clone() for name, value in weights.items()}

    def state_dict(self) -> Mapping[str, Any]:
        """Return the weights kept after the last stage."""
        return {"old": self.old}

    def load_state_dict(self, state: Mapping[str, Any], model: nn.Module) -> None:
        """Take them back."""
        self.old = dict(state["old"])
