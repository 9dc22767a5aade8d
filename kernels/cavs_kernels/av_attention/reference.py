"""The collapsed form of TPAVI (Zhou et al., AVSBench, arXiv 2301.13190): exact, without the N x N matrix.

Letters: G groups of T frames of P pixels (N = T P tokens) with C channels; K = C / 2 inner channels.
"""

from typing import NamedTuple

import torch
from torch import Tensor


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


def av_attention_reference(
    tokens: Tensor, audio: Tensor | None, weights: AttentionWeights, mode: str, mask: Tensor
) -> Tensor:
    """Return W_z(alpha g(x)): shapes and modes as in `av_attention`."""
    if mode == "softmax":
        assert audio is not None
        return _softmax(tokens, audio, weights, mask)
    inner = _visual_matrix(tokens, weights, mask) if audio is None else _dot_matrix(tokens, audio, weights, mask)
    return _fold(tokens, inner, weights)


def _dot_matrix(tokens: Tensor, audio: Tensor, weights: AttentionWeights, mask: Tensor) -> Tensor:
    """M = (1/T) sum_t phi_t gbar_t^T [G, K, K]: phi_t is the same all over a frame, so g enters as its mean."""
    phi = (audio @ weights.phi_w.T + weights.phi_b) * mask[..., None]
    g = tokens.mean(dim=2) @ weights.g_w.T + weights.g_b
    return phi.transpose(1, 2) @ g / _frames(mask)


def _visual_matrix(tokens: Tensor, weights: AttentionWeights, mask: Tensor) -> Tensor:
    """M = phi(x)^T g(x) / N = phi(m) g(m)^T + W_phi Cov(x) W_g^T, m the mean token: centred, so safe in float32."""
    wide = torch.promote_types(tokens.dtype, torch.float32)
    share = (mask.to(wide) / (_frames(mask)[..., 0] * tokens.shape[2]))[..., None, None]
    mean = (tokens * share).sum(dim=(1, 2))
    present = mask.any(dim=1)[:, None].to(tokens.dtype)
    phi, g = ((mean @ w.T + b) * present for w, b in ((weights.phi_w, weights.phi_b), (weights.g_w, weights.g_b)))
    centred = (tokens - mean[:, None, None]).flatten(1, 2)
    covariance = (centred * share.expand(-1, -1, tokens.shape[2], 1).flatten(1, 2)).transpose(1, 2) @ centred
    return phi[:, :, None] * g[:, None, :] + weights.phi_w @ covariance @ weights.g_w.T


def _fold(tokens: Tensor, inner: Tensor, weights: AttentionWeights) -> Tensor:
    """W_z(theta(x) M) = x A + c with A = W_theta^T M W_z^T [G, C, C]: one product per token."""
    right = inner @ weights.z_w.T
    matrix, offset = weights.theta_w.T @ right, weights.theta_b @ right + weights.z_b
    return (tokens.flatten(1, 2) @ matrix + offset[:, None]).view_as(tokens)


def _softmax(tokens: Tensor, audio: Tensor, weights: AttentionWeights, mask: Tensor) -> Tensor:
    """Softmax over all N positions: equal within a frame, so softmax over t of theta(x) . phi_t, times gbar_t."""
    phi = audio @ weights.phi_w.T + weights.phi_b
    g = (tokens.mean(dim=2) @ weights.g_w.T + weights.g_b) @ weights.z_w.T
    scores = tokens.flatten(1, 2) @ (phi @ weights.theta_w).transpose(1, 2) + (phi @ weights.theta_b)[:, None]
    scores = scores.masked_fill(~mask[:, None], float("-inf")).softmax(dim=-1).nan_to_num()
    return (scores @ g + weights.z_b).view_as(tokens)


def _frames(mask: Tensor) -> Tensor:
    return mask.sum(dim=1).clamp(min=1)[:, None, None]
