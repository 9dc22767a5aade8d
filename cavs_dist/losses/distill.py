"""Distillation from the teacher: of probabilities (LwF, arXiv 1606.09282; MiB, 2002.00718) and maps (PLOP, 2011.11390).

The teacher knows background and the old classes, K_old = teacher.num_classes; the student's further ones are new.
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from cavs_dist.losses.segment import log_probabilities
from cavs_dist.outputs import Outputs

SCALES = (1, 2, 4)


def distillation(outputs: Outputs, teacher: Outputs) -> Tensor:
    """Return each frame's distillation over background and old classes, [N] (LwF, arXiv 1606.09282).

    -(1 / HW) sum_i (1 / K_old) sum_c p_i(c) log q'_i(c): p is the teacher's softmax, q' the student's over the old
    logits alone.
    """
    old = log_probabilities(outputs)[:, : teacher.num_classes]
    return _soft_cross_entropy(log_probabilities(teacher), old.log_softmax(dim=1))


def unbiased_distillation(outputs: Outputs, teacher: Outputs) -> Tensor:
    """Return each frame's distillation where the teacher's background holds the new classes, [N].

    As `distillation`, with q^(0) = q(0) + sum of q over new classes and q^(c) = q(c), q the student's softmax over all
    classes (MiB, arXiv 2002.00718).
    """
    log_q = log_probabilities(outputs)
    background = torch.logaddexp(log_q[:, :1], log_q[:, teacher.num_classes :].logsumexp(dim=1, keepdim=True))
    unbiased = torch.cat([background, log_q[:, 1 : teacher.num_classes]], dim=1)
    return _soft_cross_entropy(log_probabilities(teacher), unbiased)


def local_pod(student: Tensor, teacher: Tensor) -> Tensor:
    """Return each frame's distance between two maps [N, C, H, W], [N] (local POD of PLOP, arXiv 2011.11390).

    Both are squared. For s = 1, 2, 4 they are cut into as many disjoint windows of floor(H / s) x floor(W / s) (at
    least 1 x 1) as fit, each described by its means over width and over height. The distance is the Euclidean one
    between all of these together; where the maps are equal its gradient is 0.
    """
    difference = student.to(_wide(student)).square() - teacher.to(_wide(teacher)).square()
    # Means are linear: those of the difference of squares are the difference of their means.
    # Pooling them is 2 to 5 times faster on a CPU when channels lie last.
    difference = difference.contiguous(memory_format=torch.channels_last)
    lengths = [torch.linalg.vector_norm(means, dim=(1, 2, 3)) for means in _window_means(difference)]
    distance: Tensor = torch.linalg.vector_norm(torch.stack(lengths), dim=0)
    return distance


def pod_distillation(outputs: Outputs, teacher: Outputs, weight: float, logits_weight: float) -> Tensor:
    """Return each frame's local POD over all maps and the logits, [N], as CMR weighs it (arXiv 2510.17234).

    (weight * (sum over levels, after a ReLU, and the head map) + logits_weight * (that of the logits)) / number of
    maps, the logits being one of them. The student's new logits are summed into its background's.
    """
    levels = sum(local_pod(s.relu(), t.relu()) for s, t in zip(outputs.levels, teacher.levels, strict=True))
    logits = local_pod(_fold_new_classes(outputs.logits(), teacher.num_classes), teacher.logits())
    maps = levels + local_pod(outputs.head_map, teacher.head_map)
    return (weight * maps + logits_weight * logits) / (len(outputs.maps) + 1)


def _soft_cross_entropy(log_p: Tensor, log_q: Tensor) -> Tensor:
    return -(log_p.exp() * log_q).mean(dim=(1, 2, 3))


def _wide(values: Tensor) -> torch.dtype:
    """Return the type to add up `values` in: sums over pixels need float32 at least."""
    return torch.promote_types(values.dtype, torch.float32)


def _window_means(maps: Tensor) -> Iterator[Tensor]:
    """Yield, for each scale, the means over width and the means over height of all windows."""
    for scale in SCALES:
        height, width = (max(1, side // scale) for side in maps.shape[-2:])
        inside = maps[..., : maps.shape[-2] // height * height, : maps.shape[-1] // width * width]
        yield F.avg_pool2d(inside, (1, width))
        yield F.avg_pool2d(inside, (height, 1))


def _fold_new_classes(logits: Tensor, num_old_labels: int) -> Tensor:
    """Add the new classes' logits to the background's: [N, K, H, W] to [N, num_old_labels, H, W]."""
    background = logits[:, :1] + logits[:, num_old_labels:].sum(dim=1, keepdim=True)
    return torch.cat([background, logits[:, 1:num_old_labels]], dim=1)
