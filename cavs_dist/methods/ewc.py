"""Elastic Weight Consolidation (Kirkpatrick et al., arXiv 1612.00796): weights that old clips needed are held."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from cavs_dist import distributed
from cavs_dist.curriculum import Stage
from cavs_dist.methods.base import Method, MethodConfig, PlainLoss
from cavs_dist.outputs import Batch


@dataclass(frozen=True)
class EwcConfig(MethodConfig):
    """The section `method` of `ewc`.

    name: `ewc`. hold: lambda, the weight of the penalty.
    """

    name: str = "ewc"
    hold: float = 1000.0


class Ewc(Method):
    """The task's own loss and (lambda / 2) sum_k F_k (theta_k - theta*_k)^2.

    F is the diagonal Fisher information of all earlier stages, their sum: after each, the mean over its batches of the
    squared gradient of the task's own loss. theta* are the weights kept last. What a stage adds is free.
    """

    config: EwcConfig
    Config = EwcConfig
    teacher = False

    def __init__(self, config: EwcConfig, plain: PlainLoss) -> None:
        super().__init__(config, plain)
        self.fisher: dict[str, Tensor] = {}
        self.kept: dict[str, Tensor] = {}
        self.parameters: dict[str, Tensor] = {}

    def loss(self, batch: Any, outputs: Any, teacher: Any) -> dict[str, Tensor]:
        """Return the task's own terms and, after stage 0, the penalty."""
        terms = self.plain(batch, outputs)
        if self.fisher:
            held = [
                (fisher * (self.parameters[name].float() - self.kept[name]).square()).sum()
                for name, fisher in self.fisher.items()
            ]
            terms["hold"] = self.config.hold / 2 * torch.stack(held).sum()
        return terms

    def end(self, stage: Stage, model: nn.Module, clips: Iterable[Batch]) -> None:
        """Add the stage's Fisher information, and keep the weights. Collective."""
        model.eval()
        trained = {name: value for name, value in model.named_parameters() if value.requires_grad}
        sums = {name: torch.zeros_like(value, dtype=torch.float32) for name, value in trained.items()}
        batches = torch.zeros((), device=distributed.device())
        for batch in clips:
            totals = torch.stack([getattr(batch, name).sum() for name in batch.WEIGHTS]).clamp(min=1)
            terms = self.plain(batch.weighed(1 / totals), model(batch))
            loss = torch.stack(list(terms.values())).sum()
            gradients = torch.autograd.grad(loss, list(trained.values()), allow_unused=True)
            for name, gradient in zip(trained, gradients, strict=True):
                sums[name] += 0 if gradient is None else gradient.float().square()
            batches += 1
        count = distributed.sum_over_ranks(batches)
        for name, squares in sums.items():
            fisher = distributed.sum_over_ranks(squares) / count
            self.fisher[name] = self.fisher[name] + fisher if name in self.fisher else fisher
        self.kept = {name: value.detach().float().clone() for name, value in trained.items()}

    def state_dict(self) -> Mapping[str, Any]:
        """Return the information and the weights it is about."""
        return {"fisher": self.fisher, "kept": self.kept}

    def load_state_dict(self, state: Mapping[str, Any], model: nn.Module) -> None:
        """Take both back, and look at the parameters of the model that will be trained."""
        self.fisher, self.kept = (
            {name: value.to(distributed.device()) for name, value in state[part].items()} for part in ("fisher", "kept")
        )
        self.parameters = dict(model.named_parameters())
