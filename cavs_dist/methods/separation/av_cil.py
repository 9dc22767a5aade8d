"""AV-CIL (arXiv 2308.11073), with masks in the place of logits: contrast of sound and sight, attention distilled."""

from dataclasses import dataclass

from torch import Tensor

from cavs_dist.losses.contrast import Rows, cross_sdc
from cavs_dist.losses.distill import attention_distillation
from cavs_dist.losses.separate import mask_distillation
from cavs_dist.methods.base import Method, MethodConfig
from cavs_dist.outputs.separation import Batch, Outputs


@dataclass(frozen=True)
class AvCilConfig(MethodConfig):
    """The section `method` of `av_cil`.

    name: `av_cil`. instance: weight of the contrast of sound and object within a video. of_class: of that within a
    class. temperature: of their similarities; all three as AV-CIL has them. attention: weight of the distillation of
    attention. distill: that of the distillation of masks; both on rehearsed sources.
    """

    name: str = "av_cil"
    instance: float = 0.5
    of_class: float = 1.0
    temperature: float = 0.1
    attention: float = 0.5
    distill: float = 1.0


class AvCil(Method[Batch, Outputs]):
    """The mask loss, two contrasts, and distillation of attention and masks. Ours: arXiv 2411.02860 only names it."""

    config: AvCilConfig
    Config = AvCilConfig

    def loss(self, batch: Batch, outputs: Outputs, teacher: Outputs | None) -> dict[str, Tensor]:
        """Return the terms; at stage 0 nothing is distilled."""
        config, terms = self.config, self.plain(batch, outputs)
        rows = Rows({"audio": outputs.audio, "object": outputs.object}, batch.videos, batch.classes)
        instance, of_class = cross_sdc(rows, config.temperature)
        terms |= {"instance": config.instance * instance, "class": config.of_class * of_class}
        if teacher is not None:
            masks = mask_distillation(outputs.masks, teacher.masks, outputs.mixture).flatten()
            attention = attention_distillation(outputs.attention[None], teacher.attention[None])[0]
            terms["distill"] = config.distill * (batch.memory_weight * masks).sum()
            terms["attention"] = config.attention * (batch.memory_weight * attention).sum()
        return terms
