"""The public op of collision counting."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from cavs_kernels.collision.reference import pair_counts_reference
from cavs_kernels.dispatch import choose
from cavs_kernels.head import Head


class Collisions(NamedTuple):
    """What B clips say. old, new: [B] int64, the dominant pair (0 where Omega is empty). recorded: [B] bool."""

    old: Tensor
    new: Tensor
    recorded: Tensor


def collisions(
    old: Tensor | Head, truth: Tensor, num_labels: int, threshold: float = 0.7, *, ignore: int = 255
) -> Collisions:
    """Find each clip's dominant (old class a, new class b) pair and whether it is a collision (CSR, arXiv 2510.17234).

    truth: [B, T, H, W] int64, labels below num_labels, and `ignore`, which is to be no label. old: what the old model
    says of these B T frames: its head (no logits are made in full), logits [B T, K, H, W], or argmax labels, int64 of
    the shape of `truth`.
    Omega_j = pixels with old != 0, truth != 0, old != truth; n_j(a, b) = those with old = a, truth = b; a*, b*
    is the largest entry (ties: the smallest (a, b)); recorded iff n_j(a*, b*) / |Omega_j| > threshold.
    Everything stays on the device. Raises ValueError where shapes do not fit or the old model knows too many labels.
    """
    num_old = _check(old, truth, num_labels)
    tensor = old.features if isinstance(old, Head) else old
    count = choose(pair_counts_reference, _kernel, tensor)
    counts = count(old, truth, num_old, num_labels, ignore).flatten(1)
    most = counts.amax(dim=1)
    # argmax promises nothing about ties, so the smallest pair among the largest entries is asked for by value.
    pairs = torch.arange(counts.shape[1], device=truth.device)
    first = torch.where(counts == most[:, None], pairs, counts.shape[1]).amin(dim=1)
    # A quotient is rounded as the literal 0.7 is, so a share of exactly the threshold is not above it.
    share = most.double() / counts.sum(dim=1).clamp(min=1)
    return Collisions(first // num_labels, first % num_labels, share > threshold)


def _check(old: Tensor | Head, truth: Tensor, num_labels: int) -> int:
    """Return how many labels the old model knows."""
    if isinstance(old, Tensor) and not old.is_floating_point():
        if old.shape != truth.shape:
            raise ValueError(f"old has shape {tuple(old.shape)}, truth {tuple(truth.shape)}; expected equal shapes")
        return num_labels
    maps = old.features if isinstance(old, Head) else old
    num_old = len(old.weight) if isinstance(old, Head) else old.shape[1]
    clips, frames, *size = truth.shape
    if (len(maps), *maps.shape[2:]) != (clips * frames, *size):
        raise ValueError(f"the old model's maps have shape {tuple(maps.shape)}, truth {tuple(truth.shape)}: no fit")
    if num_old > num_labels:
        raise ValueError(f"the old model knows {num_old} labels, more than the {num_labels} of the truth")
    return num_old


def _kernel() -> Callable[..., Tensor]:
    from cavs_kernels.collision.kernel import pair_counts

    return pair_counts
