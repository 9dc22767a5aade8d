"""Collision counting in Triton: head features (or logits, or labels) and truth in, pair counts out, in one pass."""

from collections.abc import Iterator
from itertools import product
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from cavs_kernels.dispatch import launching
from cavs_kernels.head import Head
from cavs_kernels.variant import Variant, architecture


@triton.jit
def pair_counts_kernel(
    old, weight, bias, truth, counts, frames, pixels, features, num_old, num_labels, ignore,
    stride_frame, stride_channel, stride_pixel,
    SOURCE: tl.constexpr, BLOCK_P: tl.constexpr, BLOCK_K: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    """Add a tile of a frame's pixels to its clip's counts [num_old, num_labels]."""
    i_frame = tl.program_id(1).to(tl.int64)
    o_pixel = tl.program_id(0) * BLOCK_P + tl.arange(0, BLOCK_P)
    m_pixel = o_pixel < pixels
    at = old + i_frame * stride_frame + o_pixel.to(tl.int64) * stride_pixel
    if SOURCE == "labels":
        said = tl.load(at, mask=m_pixel, other=0).to(tl.int32)
    else:
        best = tl.full((BLOCK_P,), float("-inf"), tl.float32)
        said = tl.zeros((BLOCK_P,), tl.int32)
        if SOURCE == "head":
            o_channel = tl.arange(0, BLOCK_D)
            m_channel = o_channel < features
            b_feature = tl.load(
                at[:, None] + o_channel[None, :].to(tl.int64) * stride_channel,
                mask=m_pixel[:, None] & m_channel[None, :], other=0.0,
            ).to(tl.float32)  # fmt: skip
        for first in range(0, num_old, BLOCK_K):
            o_class = first + tl.arange(0, BLOCK_K)
            m_class = o_class < num_old
            if SOURCE == "head":
                b_weight = tl.load(
                    weight + o_channel[:, None] + o_class[None, :] * features,
                    mask=m_channel[:, None] & m_class[None, :], other=0.0,
                ).to(tl.float32)  # fmt: skip
                b_bias = tl.load(bias + o_class, mask=m_class, other=0.0).to(tl.float32)
                b_logit = tl.dot(b_feature, b_weight, input_precision="ieee") + b_bias[None, :]
            else:
                b_logit = tl.load(
                    at[:, None] + o_class[None, :].to(tl.int64) * stride_channel,
                    mask=m_pixel[:, None] & m_class[None, :], other=0.0,
                ).to(tl.float32)  # fmt: skip
            b_logit = tl.where(m_class[None, :], b_logit, float("-inf"))
            largest = tl.max(b_logit, axis=1)
            is_largest = b_logit == largest[:, None]
            first_largest = tl.min(tl.where(is_largest, o_class[None, :], num_old), axis=1)  # the first of equals
            said = tl.where((largest > best) & (first_largest < num_old), first_largest, said)
            best = tl.maximum(best, largest)
    true = tl.load(truth + i_frame * pixels + o_pixel, mask=m_pixel, other=0).to(tl.int32)
    in_range = (said > 0) & (said < num_old) & (true > 0) & (true < num_labels)
    omega = m_pixel & in_range & (said != true) & (true != ignore)
    cell = tl.where(omega, said * num_labels + true, -1)
    mine = counts + (i_frame // frames) * num_old * num_labels
    # Neighbours mostly agree: one addition for all that do, instead of as many to one address.
    lead = tl.max(cell, axis=0)
    tl.atomic_add(mine + lead, tl.sum((cell == lead).to(tl.int32), axis=0), mask=lead >= 0, sem="relaxed")
    tl.atomic_add(mine + cell, tl.full((BLOCK_P,), 1, tl.int32), mask=omega & (cell != lead), sem="relaxed")


def pair_counts(old: Tensor | Head, truth: Tensor, num_old: int, num_labels: int, ignore: int) -> Tensor:
    """Return what `pair_counts_reference` does, as int32. Integer additions: their order changes nothing."""
    if isinstance(old, Head):
        return _count(old.features, old.weight, old.bias, truth, num_old, num_labels, ignore)
    return _count(old, None, None, truth, num_old, num_labels, ignore)


@torch.library.custom_op("cavs_kernels::pair_counts", mutates_args=())
def _count(
    old: Tensor, weight: Tensor | None, bias: Tensor | None, truth: Tensor, num_old: int, num_labels: int, ignore: int
) -> Tensor:
    clips, frames = truth.shape[:2]
    counts = torch.zeros(clips, num_old, num_labels, dtype=torch.int32, device=truth.device)
    if truth.numel() == 0:
        return counts
    truth = truth.reshape(clips * frames, -1).contiguous()
    if not old.is_floating_point():
        source, maps = "labels", old.reshape(clips * frames, 1, -1)
    else:
        source, maps = "logits" if weight is None else "head", old.flatten(2)  # a view, channels first or last
    launch = launch_of(architecture(old.device), source, maps.shape[1])
    grid = (triton.cdiv(truth.shape[1], launch["BLOCK_P"]), clips * frames)
    weights = (truth, truth) if weight is None or bias is None else (weight.contiguous(), bias.contiguous())
    with launching(maps):
        pair_counts_kernel[grid](
            maps, *weights, truth, counts,
            frames, truth.shape[1], maps.shape[1], num_old, num_labels, ignore, *maps.stride(), **launch,
        )  # fmt: skip
    return counts


@_count.register_fake
def _(
    old: Tensor, weight: Tensor | None, bias: Tensor | None, truth: Tensor, num_old: int, num_labels: int, ignore: int
) -> Tensor:
    return truth.new_empty(truth.shape[0], num_old, num_labels, dtype=torch.int32)


def launch_of(architecture: str, source: str, channels: int) -> dict[str, Any]:
    """Return how the kernel is launched, alike on all GPUs: with 32 classes a tile it takes twice the registers."""
    pixels, classes = (1024, 32) if architecture == "cpu" else (128, 16)  # an interpreted program costs milliseconds
    width = max(16, triton.next_power_of_2(channels)) if source == "head" else 16
    pixels = max(16, min(pixels, pixels * 32 // width))  # a wide head's tile holds fewer, in the same registers
    return {"SOURCE": source, "BLOCK_P": pixels, "BLOCK_K": classes, "BLOCK_D": width, "num_warps": 4}


def variants(architecture: str) -> Iterator[Variant]:
    """Yield what is compiled ahead of time: heads of 32 features, channels last; logits, channels first; and labels."""
    numbers = ("frames", "pixels", "features", "num_old", "num_labels", "ignore")
    for source, dtype in (*product(("head", "logits"), ("fp32", "bf16", "fp16")), ("labels", "i64")):
        constants = launch_of(architecture, source, 32)
        weight = "i64" if source != "head" else "fp32"
        types = {"old": f"*{dtype}", "weight": f"*{weight}", "bias": f"*{weight}", "truth": "*i64", "counts": "*i32"}
        one, other = ("channel", "pixel") if source == "head" else ("pixel", "channel")
        types |= dict.fromkeys((*numbers, "stride_frame", f"stride_{other}"), "i32")
        multiples = ("pixels", "stride_frame", f"stride_{other}", *(("features",) if source == "head" else ()))
        warps = constants.pop("num_warps")
        constants[f"stride_{one}"] = 1
        name = f"pair_counts {source} {dtype}"
        yield Variant(name, pair_counts_kernel, types, constants, warps, multiples=multiples)
