"""Losses of separation on warped magnitudes: how far a mask is from the ratio mask, and from the old model's.

Sources: "Continual Audio-Visual Sound Separation" (arXiv 2411.02860), and its released code for the weight.
"""

import torch
from torch import Tensor

from cavs_dist.outputs.separation import Batch, Outputs


def mixture_weight(mixture: Tensor) -> Tensor:
    """Return w = clip(ln(1 + S), 1e-3, 10) of a mixture's magnitudes S, of any shape, in float32 at least."""
    return _wide(mixture).log1p().clamp(min=1e-3, max=10)


def ratio_masks(sources: Tensor, mixture: Tensor) -> Tensor:
    """Return M = clip(s_n / (S + 1e-10), 0, 5) of magnitudes: [B, N, F, T] for `mixture` [B, 1, F, T].

    In float32 at least. Sources that cancel each other have masks over 1.
    """
    return (_wide(sources) / (_wide(mixture) + 1e-10)).clamp(min=0, max=5)


def mask_loss(masks: Tensor, sources: Tensor, mixture: Tensor) -> Tensor:
    """Return each source's distance to its ratio mask, [B, N]: the mean over bins of w |M^ - M|.

    masks: M^ [B, N, F, T]. sources [B, N, F, T] and mixture [B, 1, F, T]: warped magnitudes.
    """
    return _distance(masks, ratio_masks(sources, mixture), mixture)


def mask_distillation(masks: Tensor, old_masks: Tensor, mixture: Tensor) -> Tensor:
    """Return each source's distance to the old model's mask, [B, N]: the mean over bins of w |M^_t - M^_{t-1}|.

    masks, old_masks: [B, N, F, T]; old ones get no gradient. mixture: [B, 1, F, T] warped magnitudes. For LwF (arXiv
    1606.09282) the N are all old queries, heard or not.
    """
    return _distance(masks, old_masks.detach(), mixture)


def separation_loss(batch: Batch, outputs: Outputs) -> dict[str, Tensor]:
    """Return the one term of learning a batch's mixtures: the mean over sources of the mask loss."""
    losses = mask_loss(outputs.masks, outputs.sources, outputs.mixture)
    return {"masks": (batch.weight * losses.flatten()).sum()}


def _distance(masks: Tensor, targets: Tensor, mixture: Tensor) -> Tensor:
    return (mixture_weight(mixture) * (_wide(masks) - targets).abs()).mean(dim=(2, 3))


def _wide(values: Tensor) -> Tensor:
    """Return `values` in float32 at least: half precision rounds magnitudes, and 1e-10 to 0."""
    return values.to(torch.promote_types(values.dtype, torch.float32))
