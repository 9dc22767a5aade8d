"""Collision counting (CMR's CSR, arXiv 2510.17234): integers only, so every order of summation gives the same."""

import torch
from torch import Tensor


def pair_counts_reference(old: Tensor, truth: Tensor, num_labels: int) -> Tensor:
    """Return n[j, a, b], [B, num_labels, num_labels] int64: pixels of clip j where the old model says a, the truth b.

    Only pixels of Omega count: a != 0, b != 0, a != b, b not 255. old, truth: [B, ...] int64. The host never waits for
    the device: the others are not left out, but counted as nothing.
    """
    clips = old.shape[0]
    old, truth = old.reshape(clips, -1), truth.reshape(clips, -1)
    omega = (old != 0) & (truth != 0) & (old != truth) & (truth != 255)
    cell = torch.where(omega, old * num_labels + truth, 0)
    counts = cell.new_zeros(clips, num_labels**2).scatter_add_(1, cell, omega.long())
    return counts.view(clips, num_labels, num_labels)
