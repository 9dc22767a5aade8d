"""Local POD (PLOP, arXiv 2011.11390): distances between maps of the student and the teacher.

The teacher knows background and the old classes, K_old = teacher.num_classes; the student's further ones are new.
"""

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from cavs_dist.outputs.segmentation import Outputs
from cavs_kernels.head import Head

SCALES = (1, 2, 4)
# Logits that are in memory at once: 4 MiB in float32, and some six times that while they are worked on.
CHUNK = 2**20


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
    logits = logits_pod(fold_new_classes(outputs.head, teacher.num_classes), teacher.head)
    maps = levels + local_pod(outputs.head_map, teacher.head_map)
    return (weight * maps + logits_weight * logits) / (len(outputs.maps) + 1)


def fold_new_classes(head: Head, num_old_labels: int) -> Head:
    """Add the new classes' logits to the background's: logits are linear in the classifier, so its rows are added."""
    weight, bias = (
        torch.cat([rows[:1] + rows[num_old_labels:].sum(dim=0, keepdim=True), rows[1:num_old_labels]])
        for rows in (head.weight, head.bias)
    )
    return head._replace(weight=weight, bias=bias)


def logits_pod(student: Head, teacher: Head) -> Tensor:
    """Return `local_pod` of the logits of two heads with the same classes, [N]; few logits are in memory at once.

    Gradients, of first order only, go to the student's head.
    """
    if len(list(_chunks(student))) == 1:  # all fit: nothing has to be computed again
        return local_pod(student.logits(), teacher.logits())
    distance: Tensor = _LogitsPod.apply(*student, *teacher)
    return distance


class _LogitsPod(torch.autograd.Function):
    """Some frames and classes at a time, which backward computes again."""

    @staticmethod
    def forward(ctx: Any, *tensors: Tensor) -> Tensor:
        student, teacher = Head(*tensors[:3]), Head(*tensors[3:])
        squares = student.bias.new_zeros(len(student.features), dtype=_wide(student.features))
        for frames, classes in _chunks(student):
            squares[frames] += _squared_pod(_part(student, frames, classes), _part(teacher, frames, classes))
        distances = squares.sqrt()
        ctx.save_for_backward(*tensors, distances)
        return distances

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        *tensors, distances = ctx.saved_tensors
        student, teacher = Head(*tensors[:3]), Head(*tensors[3:])
        # Of a root at 0: where all is equal, the distance is flat.
        scales = torch.where(distances > 0, gradients[0] / (2 * distances), 0)
        found = Head(*(torch.zeros_like(tensor) for tensor in student))
        for frames, classes in _chunks(student):
            part = Head(*(tensor.detach().requires_grad_() for tensor in _part(student, frames, classes)))
            with torch.enable_grad():
                square = _squared_pod(part, _part(teacher, frames, classes))
            pieces = torch.autograd.grad(square, list(part), scales[frames])
            for total, piece in zip(_part(found, frames, classes), pieces, strict=True):
                total += piece
        return (*found, None, None, None)


def _chunks(head: Head) -> Iterator[tuple[slice, slice]]:
    """Yield (frames, classes) that cover all pairs, with at most CHUNK logits, or one class of one frame, each."""
    frames, _, height, width = head.features.shape
    classes = min(len(head.weight), max(1, CHUNK // (height * width)))
    together = max(1, CHUNK // (classes * height * width))
    for frame in range(0, frames, together):
        for first in range(0, len(head.weight), classes):
            yield slice(frame, frame + together), slice(first, first + classes)


def _part(head: Head, frames: slice, classes: slice) -> Head:
    return Head(head.features[frames], head.weight[classes], head.bias[classes])


def _squared_pod(student: Head, teacher: Head) -> Tensor:
    return local_pod(student.logits(), teacher.logits()).square()


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
