"""Collision counting (CMR's CSR, arXiv 2510.17234): integers only, so every order of summation gives the same."""

from collections.abc import Iterator

import torch
from torch import Tensor

from cavs_kernels.head import Head


def pair_counts_reference(old: Tensor | Head, truth: Tensor, num_old: int, num_labels: int, ignore: int) -> Tensor:
    """Return n[j, a, b], [B, num_old, num_labels] int64: pixels of clip j where the old model says a, the truth b.

    Only pixels of Omega count: a != 0, b != 0, a != b, b not `ignore`. old: as in `collisions`. truth: [B, ...] int64.
    Every pixel is counted, then what is not of Omega is struck out: no mask over pixels, and nothing that the host
    would have to wait for. What is no label falls into a row and a column of its own. Clip by clip, and of logits frame
    by frame, since caches are small.
    """
    counts = torch.zeros(len(truth), (num_old + 1) * (num_labels + 1), dtype=torch.int64, device=truth.device)
    for clip, (said, true) in enumerate(zip(_labels_of_clips(old, truth), truth, strict=True)):
        cell = said.clamp(0, num_old).mul_(num_labels + 1).add_(true.clamp(0, num_labels)).flatten()
        counts[clip].scatter_add_(0, cell, cell.new_ones(()).expand_as(cell))
    omega = torch.ones(num_old, num_labels, dtype=torch.bool, device=truth.device).fill_diagonal_(False)
    omega[0], omega[:, 0], omega[:, ignore : ignore + 1] = False, False, False
    return counts.view(-1, num_old + 1, num_labels + 1)[:, :-1, :-1] * omega


def _labels_of_clips(old: Tensor | Head, truth: Tensor) -> Iterator[Tensor]:
    """Yield what the old model says of each clip's pixels, shaped as its truth: the first of equal classes."""
    if isinstance(old, Tensor) and not old.is_floating_point():
        yield from old
        return
    for first in range(0, truth.shape[0] * truth.shape[1], truth.shape[1]):
        frames = range(first, first + truth.shape[1])
        yield torch.stack([_logits(old, slice(i, i + 1)).max(dim=1).indices[0] for i in frames])


def _logits(old: Tensor | Head, frames: slice) -> Tensor:
    return old.logits(frames) if isinstance(old, Head) else old[frames]
