"""How sure a teacher is of what it sees where a stage's labels say background (PLOP, arXiv 2011.11390).

Its certainty is the normalised entropy u = H(p) / ln K_old in [0, 1] of its softmax over background and old classes.
"""

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from cavs_dist import distributed
from cavs_dist.outputs.segmentation import Batch, Outputs, most_probable
from cavs_kernels.segmentation_loss.reference import BACKGROUND, normalised_entropy

# The bins are equal in log u: a sure teacher's medians lie anywhere from 1e-6 to 0.5, and each is found to 0.5 %.
BINS = 4096
SMALLEST = 1e-8


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
    counts = torch.zeros(teacher.num_classes * BINS, dtype=torch.int64, device=labels.device)
    for frame, truth in enumerate(labels):  # one by one: all frames' logits would not fit beside a model
        log_p = teacher.head.logits(slice(frame, frame + 1)).log_softmax(dim=1)
        position = 1 - normalised_entropy(log_p).clamp(min=SMALLEST).log() / math.log(SMALLEST)
        bins = (position * BINS).long().clamp(max=BINS - 1)
        cells = (most_probable(log_p) * BINS + bins)[0][truth == BACKGROUND]
        counts += cells.bincount(minlength=len(counts))
    return counts.view(teacher.num_classes, BINS)


def medians(counts: Tensor) -> Tensor:
    """Return the upper edge of the bin that holds each row's median, [K_old] float32; 0 for an empty row."""
    total = counts.sum(dim=1)
    below = (2 * counts.cumsum(dim=1) < total[:, None]).sum(dim=1)
    edges = (math.log(SMALLEST) * (1 - (below + 1) / BINS)).exp()
    return torch.where(total > 0, edges, 0.0)
