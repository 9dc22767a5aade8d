"""TPAVI as its formulas read, with the N x N matrix: the truth for tests, the alternative for benchmarks."""

import torch
from torch import Tensor

from cavs_kernels.av_attention.reference import AttentionWeights


def av_attention_direct(
    tokens: Tensor, audio: Tensor | None, weights: AttentionWeights, mode: str, mask: Tensor
) -> Tensor:
    """Return W_z(alpha g(x)), alpha [G, N, N] written out: shapes and modes as in `av_attention`."""
    _, _, pixels, _ = tokens.shape
    x = tokens.flatten(1, 2)
    keys = x if audio is None else audio.repeat_interleave(pixels, dim=1)
    theta = x @ weights.theta_w.T + weights.theta_b
    phi = keys @ weights.phi_w.T + weights.phi_b
    g = x @ weights.g_w.T + weights.g_b
    visible = mask.repeat_interleave(pixels, dim=1)[:, None]
    alpha = theta @ phi.transpose(1, 2)
    if mode == "softmax":
        alpha = alpha.masked_fill(~visible, float("-inf")).softmax(dim=-1)
        alpha = torch.where(visible.any(dim=-1, keepdim=True), alpha, 0)
    else:
        alpha = alpha * visible / visible.sum(dim=-1, keepdim=True).clamp(min=1)
    return (alpha @ g @ weights.z_w.T + weights.z_b).view_as(tokens)
