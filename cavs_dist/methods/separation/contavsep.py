"""ContAV-Sep (arXiv 2411.02860): keep what sounds and looks alike together, and the old model's masks of memory."""

from dataclasses import dataclass

from torch import Tensor

from cavs_dist.losses.contrast import contrast_rows, cross_sdc
from cavs_dist.losses.separate import mask_distillation
from cavs_dist.methods.base import Method, MethodConfig
from cavs_dist.outputs.separation import Batch, Outputs


@dataclass(frozen=True)
class ContAVSepConfig(MethodConfig):
    """The section `method` of `contavsep`.

    name: `contavsep`. distill: weight of the distillation of memory's masks. instance: weight of CrossSDC within a
    video. of_class: of that within a class. temperature: of its similarities. gather: whether they are taken over the
    sources of all ranks, not of a rank's own alone. at_stage0: whether CrossSDC is learned at stage 0 too, as released.
    """

    name: str = "contavsep"
    distill: float = 0.3
    instance: float = 0.1
    of_class: float = 0.3
    temperature: float = 0.05
    gather: bool = False
    at_stage0: bool = True


class ContAVSep(Method[Batch, Outputs]):
    """The mask loss, CrossSDC between sound, object and motion, and distillation of the masks of rehearsed sources."""

    config: ContAVSepConfig
    Config = ContAVSepConfig

    def loss(self, batch: Batch, outputs: Outputs, teacher: Outputs | None) -> dict[str, Tensor]:
        """Return the terms; at stage 0 nothing is distilled."""
        config, terms = self.config, self.plain(batch, outputs)
        if teacher is not None:
            distances = mask_distillation(outputs.masks, teacher.masks, outputs.mixture).flatten()
            terms["distill"] = config.distill * (batch.memory_weight * distances).sum()
        if teacher is not None or config.at_stage0:
            old = None if teacher is None else teacher.modalities
            rows = contrast_rows(outputs.modalities, old, batch.from_memory, batch.videos, batch.classes)
            instance, of_class = cross_sdc(rows, config.temperature, gather=config.gather)
            terms |= {"instance": config.instance * instance, "class": config.of_class * of_class}
        return terms
