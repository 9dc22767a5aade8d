"""The collapsed form of TPAVI (Zhou et al., AVSBench, arXiv 2301.13190): exact, without the N x N matrix.

Letters: G groups of T frames of P pixels (N = T P tokens) with C channels; K = C / 2 inner channels.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

Reduce = Callable[[Tensor], Tensor]


class AttentionWeights(NamedTuple):
    """The four 1 x 1 x 1 convolutions of TPAVI: theta, phi, g from C to K channels, z back from K to C."""

    theta_w: Tensor  # [K, C]
    theta_b: Tensor  # [K]
    phi_w: Tensor
    phi_b: Tensor
    g_w: Tensor
    g_b: Tensor
    z_w: Tensor  # [C, K]
    z_b: Tensor  # [C]


class NormWeights(NamedTuple):
    """What the batch norm and the layer norm after the attention learn, [C] each, and their epsilons."""

    batch_w: Tensor
    batch_b: Tensor
    layer_w: Tensor
    layer_b: Tensor
    batch_eps: float = 1e-5
    layer_eps: float = 1e-5


class Statistics(NamedTuple):
    """What a batch norm normalises with: `mean` and (biased) `var` [C] over `num_tokens`, a scalar."""

    num_tokens: Tensor
    mean: Tensor
    var: Tensor


def av_attention_block_reference(
    tokens: Tensor,
    audio: Tensor | None,
    weights: AttentionWeights,
    norms: NormWeights,
    mode: str,
    mask: Tensor,
    running: tuple[Tensor, Tensor] | None,
    reduce: Reduce,
) -> tuple[Tensor, Statistics | None]:
    """Return Z and the batch's statistics: shapes and modes as in `av_attention_block`."""
    update = av_attention_reference(tokens, audio, weights, mode, mask)
    return added_and_normalised(tokens, update, norms, mask, running, reduce)


def added_and_normalised(
    tokens: Tensor,
    update: Tensor,
    norms: NormWeights,
    mask: Tensor,
    running: tuple[Tensor, Tensor] | None,
    reduce: Reduce,
) -> tuple[Tensor, Statistics | None]:
    """Return LayerNorm(x + BN(update)), 0 on masked frames, and the batch's statistics: as in `av_attention_block`."""
    statistics = None
    if running is None:
        statistics = batch_statistics(update, reduce)
        running = statistics.mean, statistics.var
    mean, var = running
    scale = norms.batch_w * torch.rsqrt(var + norms.batch_eps)
    update = (update * scale + (norms.batch_b - mean * scale)).to(update.dtype)
    attended = F.layer_norm(tokens + update, tokens.shape[-1:], norms.layer_w, norms.layer_b, norms.layer_eps)
    return torch.where(mask[..., None, None], attended, 0.0), statistics


def batch_statistics(values: Tensor, reduce: Reduce) -> Statistics:
    """Return the statistics of `values` [..., C] over all but channels and over what `reduce` sums. Collective."""
    values = values.to(torch.promote_types(values.dtype, torch.float32))  # sums of bf16 would be rounded to 8 bits
    others = tuple(range(values.ndim - 1))
    count = reduce(values.new_tensor(values.numel() / values.shape[-1]))
    mean = reduce(values.sum(dim=others)) / count
    return Statistics(count, mean, reduce((values - mean).square().sum(dim=others)) / count)


def av_attention_reference(
    tokens: Tensor, audio: Tensor | None, weights: AttentionWeights, mode: str, mask: Tensor
) -> Tensor:
    """Return W_z(alpha g(x)): shapes and modes as in `av_attention`."""
    if mode == "softmax":
        assert audio is not None
        return _softmax(tokens, audio, weights, mask)
    if audio is None:
        inner = visual_matrix(*_mean_and_covariance(tokens, mask), weights, mask)
    else:
        inner = dot_matrix(tokens.mean(dim=2), audio, weights, mask)
    matrix, offset = fold(inner, weights)
    return (tokens.flatten(1, 2) @ matrix + offset[:, None]).view_as(tokens)


def dot_matrix(means: Tensor, audio: Tensor, weights: AttentionWeights, mask: Tensor) -> Tensor:
    """M = (1/T) sum_t phi_t gbar_t^T [G, K, K]: phi_t is the same all over a frame, so g enters as its mean."""
    phi = (audio @ weights.phi_w.T + weights.phi_b) * mask[..., None]
    g = means @ weights.g_w.T + weights.g_b
    return phi.transpose(1, 2) @ g / frames_in(mask)


def visual_matrix(mean: Tensor, covariance: Tensor, weights: AttentionWeights, mask: Tensor) -> Tensor:
    """M = phi(x)^T g(x) / N = phi(m) g(m)^T + W_phi Cov(x) W_g^T, m the mean token: centred, so safe in float32."""
    present = mask.any(dim=1)[:, None].to(mean.dtype)
    phi, g = ((mean @ w.T + b) * present for w, b in ((weights.phi_w, weights.phi_b), (weights.g_w, weights.g_b)))
    return phi[:, :, None] * g[:, None, :] + weights.phi_w @ covariance @ weights.g_w.T


def fold(inner: Tensor, weights: AttentionWeights) -> tuple[Tensor, Tensor]:
    """W_z(theta(x) M) = x A + c with A = W_theta^T M W_z^T [G, C, C], c [G, C]: one product per token."""
    right = inner @ weights.z_w.T
    return weights.theta_w.T @ right, weights.theta_b @ right + weights.z_b


def _mean_and_covariance(tokens: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean [G, C] and the covariance [G, C, C] of the tokens of each group's visible frames."""
    wide = torch.promote_types(tokens.dtype, torch.float32)
    share = (mask.to(wide) / (frames_in(mask)[..., 0] * tokens.shape[2]))[..., None, None]
    mean = (tokens * share).sum(dim=(1, 2))
    centred = (tokens - mean[:, None, None]).flatten(1, 2)
    covariance = (centred * share.expand(-1, -1, tokens.shape[2], 1).flatten(1, 2)).transpose(1, 2) @ centred
    return mean, covariance


def _softmax(tokens: Tensor, audio: Tensor, weights: AttentionWeights, mask: Tensor) -> Tensor:
    """Softmax over all N positions: equal within a frame, so softmax over t of theta(x) . phi_t, times gbar_t."""
    keys, bias, values = thin_factors(tokens.mean(dim=2), audio, weights)
    scores = tokens.flatten(1, 2) @ keys.transpose(1, 2) + bias[:, None]
    scores = scores.masked_fill(~mask[:, None], float("-inf")).softmax(dim=-1).nan_to_num()
    return (scores @ values + weights.z_b).view_as(tokens)


def thin_factors(means: Tensor, audio: Tensor, weights: AttentionWeights) -> tuple[Tensor, Tensor, Tensor]:
    """Return keys [G, T, C] and biases [G, T] with theta(x) . phi_t = x . key_t + bias_t, and W_z gbar_t [G, T, C]."""
    phi = audio @ weights.phi_w.T + weights.phi_b
    values = (means @ weights.g_w.T + weights.g_b) @ weights.z_w.T
    return phi @ weights.theta_w, phi @ weights.theta_b, values


def frames_in(mask: Tensor) -> Tensor:
    """Return how many frames of each group are visible, at least 1, [G, 1, 1]."""
    return mask.sum(dim=1).clamp(min=1)[:, None, None]
