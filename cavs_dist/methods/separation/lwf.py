"""Learning without Forgetting (Li and Hoiem, arXiv 1606.09282), on masks: what old queries take from new mixtures."""

from dataclasses import dataclass

from torch import Tensor

from cavs_dist.losses.separate import mask_distillation
from cavs_dist.methods.base import Method, MethodConfig
from cavs_dist.models.separator import masks_of
from cavs_dist.outputs.separation import Batch, Outputs


@dataclass(frozen=True)
class LwfConfig(MethodConfig):
    """The section `method` of `lwf`.

    name: `lwf`. distill: weight of the distillation.
    """

    name: str = "lwf"
    distill: float = 1.0


class Lwf(Method[Batch, Outputs]):
    """The mask loss, and distillation of every old query's mask; of the sources' own masks where there are no queries.

    Ours: arXiv 2411.02860 only names it.
    """

    config: LwfConfig
    Config = LwfConfig

    def loss(self, batch: Batch, outputs: Outputs, teacher: Outputs | None) -> dict[str, Tensor]:
        """Return the mask loss and the distillation."""
        terms = self.plain(batch, outputs)
        if teacher is not None:
            ours, old = outputs.masks, teacher.masks
            if num_old := teacher.queries.shape[2]:
                ours, old = (_masks_of_queries(each, num_old) for each in (outputs, teacher))
            distances = mask_distillation(ours, old, outputs.mixture).view(len(batch.keys), -1).mean(dim=1)
            terms["distill"] = self.config.distill * (batch.weight * distances).sum()
        return terms


def _masks_of_queries(outputs: Outputs, count: int) -> Tensor:
    """Return the masks of the first `count` queries for each source's look, [B, 2 count, F, T]."""
    return masks_of(outputs.queries[:, :, :count].flatten(1, 2), outputs.sound)
