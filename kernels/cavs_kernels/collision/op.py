"""The public op of collision counting."""

from typing import NamedTuple

import torch
from torch import Tensor

from cavs_kernels.collision.reference import pair_counts_reference
from cavs_kernels.dispatch import choose


class Collisions(NamedTuple):
    """What B clips say. old, new: [B] int64, the dominant pair (0 where Omega is empty). recorded: [B] bool."""

    old: Tensor
    new: Tensor
    recorded: Tensor


def collisions(old: Tensor, truth: Tensor, num_labels: int, threshold: float = 0.7) -> Collisions:
    """Find each clip's dominant (old class a, new class b) pair and whether it is a collision (CSR, arXiv 2510.17234).

    old: [B, ...] int64, the old model's argmax map over a clip's frames. truth: the same shape, stage labels, 255
    ignored. Omega_j = pixels with old != 0, truth != 0, old != truth; n_j(a, b) = those with old = a, truth = b; a*, b*
    is the largest entry (ties: the smallest (a, b)); recorded iff n_j(a*, b*) / |Omega_j| > threshold.
    Raises ValueError where the shapes differ.
    """
    if old.shape != truth.shape:
        raise ValueError(f"old has shape {tuple(old.shape)}, truth {tuple(truth.shape)}; expected equal shapes")
    counts = choose(pair_counts_reference, None, old)(old, truth, num_labels).flatten(1)
    most = counts.amax(dim=1)
    # argmax promises nothing about ties, so the smallest pair among the largest entries is asked for by value.
    pairs = torch.arange(counts.shape[1], device=old.device)
    first = torch.where(counts == most[:, None], pairs, counts.shape[1]).amin(dim=1)
    # A quotient is rounded as the literal 0.7 is, so a share of exactly the threshold is not above it.
    share = most.double() / counts.sum(dim=1).clamp(min=1)
    return Collisions(first // num_labels, first % num_labels, share > threshold)
