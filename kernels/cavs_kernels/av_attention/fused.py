"""The block with its passes over the map in Triton, and the algebra of C x C matrices between them in float32 torch.

y = u A + c is the update before the batch norm: u is x itself (dot, visual) or the probabilities over frames (softmax).
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from cavs_kernels.av_attention import kernel
from cavs_kernels.av_attention.reference import (
    AttentionWeights,
    NormWeights,
    Reduce,
    Statistics,
    dot_matrix,
    fold,
    frames_in,
    thin_factors,
    visual_matrix,
)


def av_attention_block_fused(
    tokens: Tensor,
    audio: Tensor | None,
    weights: AttentionWeights,
    norms: NormWeights,
    mode: str,
    mask: Tensor,
    running: tuple[Tensor, Tensor] | None,
    reduce: Reduce,
) -> tuple[Tensor, Statistics | None]:
    """Return Z and the batch's statistics: shapes and modes as in `av_attention_block`. No second derivatives."""
    with torch.autocast(tokens.device.type, enabled=False):
        weights = AttentionWeights(*(weight.float() for weight in weights))
        heard = None if audio is None else audio.float()
        slot_of = mask.int().contiguous() if heard is None else torch.zeros_like(mask, dtype=torch.int32)
        second = mode == "visual" or (mode == "dot" and running is None)
        x, means, seconds = _Moments.apply(tokens.contiguous(), slot_of, 2 if heard is None else 1, second)
        if mode == "softmax":
            assert heard is not None
            x, left, matrix = _probabilities(x, means, heard, weights, mask)
            offset = weights.z_b.expand(len(x), -1)
            centre, scatter = (None, None) if running else _moments_of_probabilities(left)
        else:
            pixels = x.shape[2]
            if heard is None:
                inner = visual_matrix(*_visible_moments(means, seconds[:, 1], pixels, mask), weights, mask)
            else:
                inner = dot_matrix(means, heard, weights, mask)
            left, (matrix, offset) = None, fold(inner, weights)
            centre = means.mean(dim=1)
            scatter = None if running else seconds.sum(dim=1) + _between(means, centre, pixels)
        statistics = None
        if running is None:
            assert centre is not None and scatter is not None
            statistics = _statistics(matrix, offset, centre, scatter, x.shape[1] * x.shape[2], reduce)
            running = statistics.mean, statistics.var
        mean, var = (values.float() for values in running)
        scale = norms.batch_w.float() * torch.rsqrt(var + norms.batch_eps)
        matrix = matrix * scale
        if left is not None:
            left, matrix, centre = _to_step(left.to(x.dtype)), _to_step(matrix, 1), None
        z = _Tail.apply(
            left, x, matrix, (offset - mean) * scale + norms.batch_b.float(),
            None if centre is None else centre.detach(), mask, norms.layer_w.float(), norms.layer_b.float(),
            norms.layer_eps,
        )  # fmt: skip
    return z, statistics


def _statistics(
    matrix: Tensor, offset: Tensor, centre: Tensor, scatter: Tensor, rows: int, reduce: Reduce
) -> Statistics:
    """Return the statistics of u A + c from u's mean [G, K] and centred second moment [G, K, K], exactly. Collective.

    Within a group the centred sum of squares is diag(A^T S A); the groups' means add their own spread.
    """
    middle = (centre[:, None] @ matrix)[:, 0] + offset
    within = (matrix * (scatter @ matrix)).sum(dim=1).clamp(min=0)
    count = reduce(middle.new_full((), float(rows * len(middle))))
    mean = reduce(rows * middle.sum(dim=0)) / count
    return Statistics(count, mean, reduce((within + rows * (middle - mean).square()).sum(dim=0)) / count)


def _between(means: Tensor, centre: Tensor, pixels: int) -> Tensor:
    """Return what frame means [G, T, C] add to a group's second moment about `centre` [G, C]."""
    apart = means - centre[:, None]
    return pixels * apart.transpose(1, 2) @ apart


def _visible_moments(means: Tensor, second: Tensor, pixels: int, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean [G, C] and covariance [G, C, C] of visible frames; `second`: theirs about their frames' means."""
    seen = frames_in(mask)
    mean = (means * mask[..., None]).sum(dim=1) / seen[:, 0]
    apart = (means - mean[:, None]) * mask[..., None]
    return mean, (second / pixels + apart.transpose(1, 2) @ apart) / seen


def _probabilities(
    x: Tensor, means: Tensor, audio: Tensor, weights: AttentionWeights, mask: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return x, each token's probabilities over frames [G, T, P, T] and W_z gbar [G, T, C]."""
    keys, bias, values = thin_factors(means, audio, weights)
    x, products = _Scores.apply(x, keys.to(x.dtype))
    scores = products.float() + bias[:, None, None]
    scores = scores.masked_fill(~mask[:, None, None], float("-inf"))
    return x, scores.softmax(dim=-1).nan_to_num(), values


def _to_step(factor: Tensor, last: int = 0) -> Tensor:
    """Pad the last dimension but `last` with zeros up to a multiple of a product's step."""
    return F.pad(factor, (0, 0) * last + (0, -factor.shape[-1 - last] % kernel.STEP))


def _moments_of_probabilities(left: Tensor) -> tuple[Tensor, Tensor]:
    rows = left.flatten(1, 2)
    centre = rows.mean(dim=1)
    apart = rows - centre[:, None]
    return centre, apart.transpose(1, 2) @ apart


class _Moments(torch.autograd.Function):
    """x, its frame means [G, T, C] and, if `second`, second moments about them, [G, slots, C, C].

    x goes through, so that its gradient is completed in the one pass that adds those of the moments:
    d_x + (x - mean_t) (d_S + d_S^T) + d_mean_t / P. A frame's mean is no part of the second's slope: that vanishes.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, slot_of: Tensor, slots: int, second: bool) -> tuple[Tensor, Tensor, Tensor | None]:
        means = x.mean(dim=2, dtype=torch.float32)
        ctx.save_for_backward(x, means, slot_of)
        return x.view_as(x), means, kernel.moments(x, means, slot_of, slots) if second else None

    @staticmethod
    def backward(ctx: Any, d_x: Tensor, d_means: Tensor, d_second: Tensor | None) -> tuple[Tensor | None, ...]:
        x, means, slot_of = ctx.saved_tensors
        shift = d_means / x.shape[2]
        if d_second is None:
            return d_x + shift[:, :, None].to(d_x.dtype), None, None, None
        matrix = d_second + d_second.transpose(2, 3)
        # Slopes of moments are divided by the number of rows: as they are, fp16 would lose them.
        scale = matrix.abs().amax(dim=(2, 3)).clamp(min=torch.finfo(torch.float32).tiny)
        matrix = (matrix / scale[..., None, None]).to(x.dtype)
        return kernel.added(d_x.contiguous(), x, means, matrix, scale, shift, slot_of), None, None, None


class _Scores(torch.autograd.Function):
    """x and x keys^T [G, T, P, T]; x goes through for the same reason as in `_Moments`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(x, keys)
        return x.view_as(x), (x.flatten(1, 2) @ keys.transpose(1, 2)).view(*x.shape[:3], keys.shape[1])

    @staticmethod
    def backward(ctx: Any, d_x: Tensor, d_scores: Tensor) -> tuple[Tensor, Tensor]:
        x, keys = ctx.saved_tensors
        slope = d_scores.flatten(1, 2)
        total = torch.baddbmm(d_x.flatten(1, 2), slope, keys).view_as(x)
        return total, kernel.products(_to_step(d_scores).contiguous(), x)[:, : keys.shape[1]].to(keys.dtype)


class _Tail(torch.autograd.Function):
    """Z = LayerNorm(x + u A + c), 0 on hidden frames; u is x where `left` is None. All matrices are float32.

    A is rounded to the map's type for the product. What that does to the mean row of u, `centre`, goes back into c:
    far from the origin it would be the larger error by far. Backward: v again, d_v, then d_A = u^T d_v and
    d_u = d_v A^T.
    """

    @staticmethod
    def forward(
        ctx: Any, left: Tensor | None, x: Tensor, matrix: Tensor, offset: Tensor, centre: Tensor | None,
        visible: Tensor, layer_w: Tensor, layer_b: Tensor, eps: float,
    ) -> Tensor:  # fmt: skip
        rounded = matrix.to(x.dtype)
        if centre is not None and x.dtype != torch.float32:
            offset = offset + (centre[:, None] @ (matrix - rounded.float()))[:, 0]
        rounded, offset, visible = rounded.contiguous(), offset.contiguous(), visible.contiguous()
        ctx.eps, ctx.thin = eps, left is not None
        left = x if left is None else left
        ctx.save_for_backward(left, x, rounded, offset, visible, layer_w)
        return kernel.tail(left, x, rounded, offset, visible, layer_w, layer_b, eps)

    @staticmethod
    def backward(ctx: Any, d_z: Tensor) -> tuple[Tensor | None, ...]:
        left, x, rounded, offset, visible, layer_w = ctx.saved_tensors
        d_v, sums = kernel.tail_slopes(d_z.contiguous(), left, x, rounded, offset, visible, layer_w, ctx.eps)
        d_matrix = kernel.products(left, d_v)
        turned = rounded.transpose(1, 2).contiguous()
        if ctx.thin:
            d_left, d_x = (d_v.flatten(1, 2) @ turned).view_as(left), d_v
        else:
            d_left, d_x = None, torch.baddbmm(d_v.flatten(1, 2), d_v.flatten(1, 2), turned).view_as(d_v)
        weight, bias, d_offset = sums.unbind(1)
        return d_left, d_x, d_matrix, d_offset, None, None, weight.sum(dim=0), bias.sum(dim=0), None
