"""The public op of the segmentation losses, and the custom ops that autograd and torch.compile see."""

from types import ModuleType
from typing import Any, cast

import torch
from torch import Tensor

from cavs_kernels.dispatch import takes_kernel
from cavs_kernels.head import Head
from cavs_kernels.segmentation_loss import chunked
from cavs_kernels.segmentation_loss.reference import IGNORED, Distill, Rules, Terms

DISTILL = ("none", "plain", "unbiased")


def segmentation_terms(
    student: Head,
    labels: Tensor | None,
    teacher: Head | None = None,
    *,
    unbiased: bool = False,
    distill: Distill = "none",
    thresholds: Tensor | None = None,
    keep: Tensor | None = None,
) -> Terms:
    """Return what each frame costs, from features and classifiers; logits are in memory for a few pixels at a time.

    labels: [N, H, W] int64, below K or 255 for ignored (others raise on a CPU, and are not looked for on a GPU); None
    for no cross-entropy. teacher: a head whose K_old classes are the student's first. unbiased: background may be any
    old class (MiB's cross-entropy, arXiv 2002.00718). distill: `plain` (LwF, 1606.09282) or `unbiased` (MiB).
    thresholds: [K_old]: labels below K_old become the teacher's class c where its normalised entropy is below
    thresholds[c], else ignored (PLOP, 2011.11390). keep: [N] bool, frames whose labels name every class: there nothing
    is replaced and background hides nothing.
    Gradients, of first order only, go to the student's features, weight and bias. Formulas: `pixel_labels` and
    `pixel_terms` of the reference. Raises ValueError on what does not fit.
    """
    _check(student, labels, keep)
    if distill not in DISTILL:
        raise ValueError(f"distill is {distill!r}; expected one of {', '.join(DISTILL)}")
    if teacher is not None:
        _check_teacher(teacher, student, thresholds)
    elif unbiased or distill != "none" or thresholds is not None:
        raise ValueError("unbiased cross-entropy, distillation and pseudo-labels need a teacher")
    frames, _, height, width = student.features.shape
    if labels is None:
        labels = torch.full((1, 1, 1), IGNORED, device=student.features.device).expand(frames, height, width)
    others = labels.new_ones(frames, dtype=torch.bool) if keep is None else ~keep
    terms, _, _ = _terms(
        *student,
        labels,
        *(teacher or (None, None, None)),
        distill,
        thresholds,
        len((teacher or student).weight),
        others if thresholds is not None else None,
        others if unbiased else None,
        takes_kernel(student.features),
    )
    return Terms(terms[0], terms[1], terms[2].detach())


def _check(student: Head, labels: Tensor | None, keep: Tensor | None) -> None:
    _check_head("student", student)
    frames, _, height, width = student.features.shape
    if labels is not None and labels.shape != (frames, height, width):
        raise ValueError(f"labels have shape {tuple(labels.shape)}; expected {(frames, height, width)}")
    if keep is not None and keep.shape != (frames,):
        raise ValueError(f"keep has shape {tuple(keep.shape)}; expected {(frames,)}")


def _check_teacher(teacher: Head, student: Head, thresholds: Tensor | None) -> None:
    _check_head("teacher", teacher)
    known, classes = len(teacher.weight), len(student.weight)
    shapes = [(*features.shape[:1], *features.shape[2:]) for features in (teacher.features, student.features)]
    if shapes[0] != shapes[1]:
        raise ValueError(f"the teacher has frames, height and width {shapes[0]}, the student {shapes[1]}")
    if known > classes:
        raise ValueError(f"the teacher has {known} classes, more than the student's {classes}")
    if thresholds is not None and thresholds.shape != (known,):
        raise ValueError(f"thresholds have shape {tuple(thresholds.shape)}; expected {(known,)}")


def _check_head(name: str, head: Head) -> None:
    if head.features.ndim != 4:
        raise ValueError(f"the {name}'s features have shape {tuple(head.features.shape)}; expected [N, D, H, W]")
    channels = head.features.shape[1]
    if head.weight.ndim != 2 or head.weight.shape[1] != channels or head.bias.shape != head.weight.shape[:1]:
        shapes = f"{tuple(head.weight.shape)} and {tuple(head.bias.shape)}"
        raise ValueError(f"the {name}'s weight and bias have shapes {shapes}; expected [K, {channels}] and [K]")
    if len(head.weight) > IGNORED:
        raise ValueError(f"the {name} has {len(head.weight)} classes; expected at most {IGNORED}, which means ignored")


def _form(fused: bool) -> ModuleType:
    """Return the module whose `forward` and `backward` belong together: the kernel's, else the chunked form's."""
    if not fused:
        return chunked
    from cavs_kernels.segmentation_loss import kernel

    return kernel


@torch.library.custom_op("cavs_kernels::segmentation_terms", mutates_args=())
def _terms(
    features: Tensor,
    weight: Tensor,
    bias: Tensor,
    labels: Tensor,
    old_features: Tensor | None,
    old_weight: Tensor | None,
    old_bias: Tensor | None,
    distill: str,
    thresholds: Tensor | None,
    num_old: int,
    guesses: Tensor | None,
    hides: Tensor | None,
    fused: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the terms [3, N], the labels that were scored, and what else backward reads."""
    rules = Rules(num_old, cast(Distill, distill), thresholds, guesses, hides)
    teacher = _head(old_features, old_weight, old_bias)
    student = Head(features, weight, bias)
    with torch.autocast(features.device.type, enabled=False):
        found: tuple[Tensor, Tensor, Tensor] = _form(fused).forward(student, labels, teacher, rules)
    return found


@torch.library.custom_op("cavs_kernels::segmentation_terms_backward", mutates_args=())
def _terms_backward(
    gradients: Tensor,
    features: Tensor,
    weight: Tensor,
    bias: Tensor,
    labels: Tensor,
    kept: Tensor,
    old_features: Tensor | None,
    old_weight: Tensor | None,
    old_bias: Tensor | None,
    distill: str,
    num_old: int,
    hides: Tensor | None,
    fused: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of features, weight and bias."""
    rules = Rules(num_old, cast(Distill, distill), hides=hides)
    teacher = _head(old_features, old_weight, old_bias)
    student = Head(features, weight, bias)
    with torch.autocast(features.device.type, enabled=False):
        found: tuple[Tensor, Tensor, Tensor] = _form(fused).backward(gradients, student, labels, teacher, rules, kept)
    return found


@_terms.register_fake
def _(features: Tensor, weight: Tensor, bias: Tensor, labels: Tensor, *rest: Any) -> tuple[Tensor, Tensor, Tensor]:
    distill, fused = rest[3], rest[-1]
    frames, _, height, width = features.shape
    wide = torch.promote_types(features.dtype, torch.float32)
    return (
        features.new_empty(3, frames, dtype=wide),
        labels.new_empty(frames, height, width, dtype=torch.int32),
        features.new_empty(_form(fused).kept_rows(distill), frames, height, width, dtype=wide),
    )


@_terms_backward.register_fake
def _(gradients: Tensor, features: Tensor, weight: Tensor, bias: Tensor, *rest: Any) -> tuple[Tensor, Tensor, Tensor]:
    return torch.empty_like(features), torch.empty_like(weight), torch.empty_like(bias)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    features, weight, bias, _, *teacher, distill, _, num_old, _, hides, fused = inputs
    _, labels, kept = output
    if distill == "none":
        teacher = [None, None, None]
    ctx.set_materialize_grads(False)  # of labels and what else is kept nobody takes a gradient
    ctx.save_for_backward(features, weight, bias, labels, kept, *teacher, hides)
    ctx.distill, ctx.num_old, ctx.fused = distill, num_old, fused


def _give_back(ctx: Any, gradients: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
    *tensors, hides = ctx.saved_tensors
    return (*_terms_backward(gradients, *tensors, ctx.distill, ctx.num_old, hides, ctx.fused), *(None,) * 10)


_terms.register_autograd(_give_back, setup_context=_keep)


def _head(features: Tensor | None, weight: Tensor | None, bias: Tensor | None) -> Head | None:
    return None if features is None else Head(features, cast(Tensor, weight), cast(Tensor, bias))
