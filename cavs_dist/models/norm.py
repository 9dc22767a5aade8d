"""Normalisation by name (`model.norm`): what a map is normalised with, and over whom the statistics run."""

from typing import Literal

import torch
from torch import Tensor, nn

from cavs_dist.distributed import summed_over_ranks
from cavs_kernels.av_attention import Statistics, batch_statistics

Norm = Literal["sync", "frozen", "group"]


def make_norm(kind: Norm, channels: int) -> nn.Module:
    """Return the layer that normalises [N, C, H, W] maps: `sync` over all ranks, `frozen`, or `group` (8 groups)."""
    if kind == "group":
        return nn.GroupNorm(8 if channels % 8 == 0 else 1, channels)
    return SyncNorm(channels, frozen=kind == "frozen")


def replace_batch_norms(module: nn.Module, *, frozen: bool) -> None:
    """Put a SyncNorm with the same weights and running statistics in the place of every batch norm in `module`.

    A batch norm's statistics are its own rank's: ranks would drift apart, and their number would change the result.
    """
    for name, child in module.named_children():
        if not isinstance(child, nn.BatchNorm2d):
            replace_batch_norms(child, frozen=frozen)
            continue
        norm = SyncNorm(child.num_features, frozen=frozen, momentum=child.momentum or 0.0, eps=child.eps)
        norm.to(child.weight)
        norm.load_state_dict(
            {"weight": child.weight, "bias": child.bias, "mean": child.running_mean, "var": child.running_var}
        )
        # timm has batch norms that drop and activate too, by modules of their own.
        module.add_module(name, nn.Sequential(norm, *child.children()))


class SyncNorm(nn.Module):
    """Batch norm over the micro-batch of all ranks, on CPU too; with `frozen`, over its running statistics always.

    Sums, not means, are all-reduced, so ranks may hold different numbers of frames. Collective when training.
    Source: Ioffe and Szegedy, arXiv 1502.03167.
    """

    mean: Tensor
    var: Tensor

    def __init__(self, channels: int, *, frozen: bool = False, momentum: float = 0.1, eps: float = 1e-5) -> None:
        super().__init__()
        self.frozen, self.momentum, self.eps = frozen, momentum, eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("var", torch.ones(channels))

    def forward(self, maps: Tensor) -> Tensor:
        """Normalise [N, C, H, W] per channel."""
        mean, var = self.running() or self.follow(batch_statistics(maps.permute(0, 2, 3, 1), summed_over_ranks))
        scale = self.weight * torch.rsqrt(var + self.eps)
        return (maps * scale[:, None, None] + (self.bias - mean * scale)[:, None, None]).to(maps.dtype)

    def running(self) -> tuple[Tensor, Tensor] | None:
        """Return the mean and variance to normalise with, None where they are the micro-batch's."""
        return (self.mean, self.var) if self.frozen or not self.training else None

    def follow(self, batch: Statistics) -> tuple[Tensor, Tensor]:
        """Move the running statistics towards a micro-batch's, and return the mean and variance of these."""
        with torch.no_grad():
            unbiased = batch.var * batch.num_tokens / (batch.num_tokens - 1).clamp(min=1)
            self.mean.lerp_(batch.mean, self.momentum)
            self.var.lerp_(unbiased, self.momentum)
        return batch.mean, batch.var
