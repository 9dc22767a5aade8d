"""PLOP's local POD (Douillard et al., arXiv 2011.11390) on the maps of a U-Net."""

from dataclasses import dataclass

import torch
from torch import Tensor

from cavs_dist.losses.pod import local_pod
from cavs_dist.methods.base import Method, MethodConfig
from cavs_dist.outputs.separation import Batch, Outputs


@dataclass(frozen=True)
class PlopConfig(MethodConfig):
    """The section `method` of `plop`.

    name: `plop`. pod: weight of local POD, the mean over maps.
    """

    name: str = "plop"
    pod: float = 0.01


class Plop(Method[Batch, Outputs]):
    """The mask loss, and local POD between the U-Net's maps and the teacher's. Ours: arXiv 2411.02860 only names it."""

    config: PlopConfig
    Config = PlopConfig

    def loss(self, batch: Batch, outputs: Outputs, teacher: Outputs | None) -> dict[str, Tensor]:
        """Return the two terms."""
        terms = self.plain(batch, outputs)
        if teacher is not None:
            pods = [local_pod(ours, old) for ours, old in zip(outputs.maps, teacher.maps, strict=True)]
            of_mixture = batch.weight.view(-1, 2).sum(dim=1)
            terms["pod"] = self.config.pod * (of_mixture * torch.stack(pods).mean(dim=0)).sum()
        return terms
