"""The reference's numbers in bounded memory, on any device: logits live for a chunk of pixels at a time.

Backward makes them again and has its formulas written out. Letters as in `reference.py`.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from cavs_kernels.head import Head
from cavs_kernels.segmentation_loss.reference import (
    BACKGROUND,
    IGNORED,
    Rules,
    accepted_counts,
    accepted_share,
    pixel_labels,
    pixel_terms,
)

# Logits of a chunk: 4 MiB in float32, and some six times that while they are worked on.
CHUNK = 2**20


def chunks(features: Tensor, num_classes: int) -> Iterator[tuple[slice, slice]]:
    """Yield (frames, rows) that cover [N, D, H, W] features with at most CHUNK logits each, or one row of a frame."""
    frames, _, height, width = features.shape
    rows = max(1, CHUNK // max(1, num_classes * width))
    together = max(1, rows // max(1, height))
    for frame in range(0, frames, together):
        for row in range(0, height, rows):
            yield slice(frame, frame + together), slice(row, row + rows)


def kept_rows(distill: str) -> int:
    """Return how many numbers a pixel `forward` keeps beside its label."""
    return 0


def forward(student: Head, labels: Tensor, teacher: Head | None, rules: Rules) -> tuple[Tensor, Tensor, Tensor]:
    """Return the terms [3, N], the labels that were scored [N, H, W] int32, and nothing more to keep, [0, N, H, W]."""
    frames, _, height, width = student.features.shape
    sums = student.bias.new_zeros(4, frames, dtype=torch.promote_types(student.features.dtype, torch.float32))
    kept = torch.empty_like(labels, dtype=torch.int32, memory_format=torch.contiguous_format)
    for chunk in chunks(student.features, len(student.weight)):
        local, part = rules.of(chunk[0]), labels[chunk]
        old_logits = None if teacher is None else _part(teacher, chunk).logits()
        final = pixel_labels(part, old_logits, local)
        terms = pixel_terms(_part(student, chunk).logits(), old_logits, final, local)
        values = [*(pixels.sum(dim=(1, 2)) for pixels in terms), *accepted_counts(part, final, rules.num_old)]
        for row, value in zip(sums, values, strict=True):
            row[chunk[0]] += value
        kept[chunk] = final
    means = sums[:2] / (height * width)
    return (
        torch.cat([means, accepted_share(sums[2], sums[3])[None]]),
        kept,
        sums.new_empty(kept_rows(rules.distill), frames, height, width),
    )


def backward(
    gradients: Tensor, student: Head, labels: Tensor, teacher: Head | None, rules: Rules, _: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of features, weight and bias.

    gradients: [3, N], those of the terms; the last one's are not used. labels: as `forward` returned them.
    """
    features, weight, bias = student
    wide = torch.promote_types(features.dtype, torch.float32)
    d_features, d_weight = torch.empty_like(features), torch.zeros_like(weight, dtype=wide)
    d_bias = torch.zeros_like(bias, dtype=wide)
    scales = gradients.to(wide) / max(1, features.shape[2] * features.shape[3])
    for chunk in chunks(features, len(weight)):
        old_logits = None if teacher is None or rules.distill == "none" else _part(teacher, chunk).logits()
        part = _part(student, chunk)
        scale, local = scales[:, chunk[0]], rules.of(chunk[0])
        d_logits = _logit_gradients(part.logits(), old_logits, labels[chunk].long(), scale, local)
        flat = d_logits.flatten(2)
        # The classifier's transpose as a classifier: its "logits" are the features' gradients.
        d_features[chunk[0], :, chunk[1]] = Head(d_logits, weight.T, bias.new_zeros(features.shape[1])).logits()
        d_weight += torch.matmul(flat, part.features.to(wide).flatten(2).transpose(1, 2)).sum(dim=0)
        d_bias += flat.sum(dim=(0, 2))
    return d_features, d_weight.to(weight.dtype), d_bias.to(bias.dtype)


def _logit_gradients(logits: Tensor, old_logits: Tensor | None, labels: Tensor, scales: Tensor, rules: Rules) -> Tensor:
    """Return the gradients of logits [n, K, h, w] for scales [3, n] of the pixels' cross-entropy and distillation."""
    known = (labels != IGNORED)[:, None]
    entropy, distill = (scale[:, None, None, None] for scale in (scales[0], scales[1] / rules.num_old))
    of_pixel = torch.where(known, entropy, 0)
    gradients = logits.softmax(dim=1)
    gradients *= of_pixel + distill if rules.distill == "unbiased" else of_pixel
    old = logits[:, : rules.num_old].softmax(dim=1) if rules.hides is not None or rules.distill == "plain" else None
    named = of_pixel
    if rules.hides is not None:
        assert old is not None
        hidden = (labels == BACKGROUND)[:, None] & rules.hides[:, None, None, None]
        gradients[:, : rules.num_old] -= torch.where(hidden, of_pixel, 0) * old
        named = torch.where(hidden, 0, of_pixel)
    gradients.scatter_add_(1, torch.where(known, labels[:, None], 0), -named)
    if old_logits is not None and rules.distill == "plain":
        assert old is not None
        gradients[:, : rules.num_old] += distill * (old - old_logits.softmax(dim=1))
    elif old_logits is not None:
        _subtract_unbiased(gradients, logits, distill * old_logits.softmax(dim=1))
    return gradients


def _subtract_unbiased(gradients: Tensor, logits: Tensor, targets: Tensor) -> None:
    """Take the targets [n, K_old, h, w] off in place: background's is shared with the new classes it holds."""
    num_old = targets.shape[1]
    gradients[:, 1:num_old] -= targets[:, 1:]
    shares = torch.cat([logits[:, :1], logits[:, num_old:]], dim=1).softmax(dim=1).mul_(targets[:, :1])
    gradients[:, :1] -= shares[:, :1]
    gradients[:, num_old:] -= shares[:, 1:]


def _part(head: Head, chunk: tuple[slice, slice]) -> Head:
    return head._replace(features=head.features[chunk[0], :, chunk[1]])
