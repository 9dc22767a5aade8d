"""Pseudo-labels: what the teacher sees where a stage's labels say background (PLOP, arXiv 2011.11390).

Its certainty is the normalised entropy u = H(p) / ln K_old in [0, 1] of its softmax over background and old classes.
"""

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from cavs_dist import distributed
from cavs_dist.data.clip import IGNORED
from cavs_dist.losses.segment import BACKGROUND, log_probabilities
from cavs_dist.outputs import Batch, Outputs, most_probable

# The bins are equal in log u: a sure teacher's medians lie anywhere from 1e-6 to 0.5, and each is found to 0.5 %.
BINS = 4096
SMALLEST = 1e-8


def normalised_entropy(log_p: Tensor) -> Tensor:
    """Return u = -sum_c p_c log p_c / ln K of [N, K, H, W] log-probabilities, [N, H, W] in [0, 1]."""
    entropy = -(log_p.exp() * log_p).sum(dim=1)
    return (entropy / math.log(log_p.shape[1])).clamp(0, 1)


def median_entropies(clips: Iterable[tuple[Batch, Outputs]], num_old: int) -> Tensor:
    """Return tau [1 + num_old]: the median of u over the background pixels that the teacher predicts as c. Collective.

    `clips` are this rank's part of the stage's training clips with the teacher's outputs. A class that is predicted
    nowhere gets 0: nothing is known of how sure the teacher is of it, so later guesses of it are not trusted.
    """
    counts = torch.zeros(1 + num_old, BINS, dtype=torch.int64, device=distributed.device())
    for batch, teacher in clips:
        counts += entropy_counts(batch.labels, teacher)
    return medians(distributed.sum_over_ranks(counts))


def entropy_counts(labels: Tensor, teacher: Outputs) -> Tensor:
    """Return the histogram of u for each predicted class over background pixels, [K_old, BINS] int64."""
    log_p = log_probabilities(teacher)
    position = 1 - normalised_entropy(log_p).clamp(min=SMALLEST).log() / math.log(SMALLEST)
    bins = (position * BINS).long().clamp(max=BINS - 1)
    cells = (most_probable(log_p) * BINS + bins)[labels == BACKGROUND]
    return cells.bincount(minlength=teacher.num_classes * BINS).view(teacher.num_classes, BINS)


def medians(counts: Tensor) -> Tensor:
    """Return the upper edge of the bin that holds each row's median, [K_old] float32; 0 for an empty row."""
    total = counts.sum(dim=1)
    below = (2 * counts.cumsum(dim=1) < total[:, None]).sum(dim=1)
    edges = (math.log(SMALLEST) * (1 - (below + 1) / BINS)).exp()
    return torch.where(total > 0, edges, 0.0)


def pseudo_labels(labels: Tensor, teacher: Outputs, thresholds: Tensor, keep: Tensor) -> Tensor:
    """Return labels [N, H, W] with background replaced by c = argmax p where u < thresholds[c], else ignored.

    Infinite thresholds take every prediction. Frames in `keep` [N] bool stay as they are. In the others old classes,
    which only a rehearsed clip's labels hold, are replaced like background, as CMR's release does (arXiv 2510.17234).
    """
    log_p = log_probabilities(teacher)
    guess = most_probable(log_p)
    sure = normalised_entropy(log_p) < thresholds[guess]
    open_to_guess = (labels < teacher.num_classes) & ~keep[:, None, None]
    return torch.where(open_to_guess, guess.where(sure, IGNORED), labels)


def accepted_share(labels: Tensor, pseudo: Tensor, num_old: int) -> Tensor:
    """Return the share of a frame's background whose pseudo-label was accepted, [N]; 1 if it has no background.

    PLOP's adaptive factor (arXiv 2011.11390): a frame weighs less the less the teacher is sure of it.
    """
    background = labels <= num_old
    accepted = (background & (pseudo != IGNORED)).sum(dim=(1, 2))
    total = background.sum(dim=(1, 2))
    return torch.where(total > 0, accepted / total.clamp(min=1), 1.0)
