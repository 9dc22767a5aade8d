"""The public ops of audio-visual attention."""

from collections.abc import Callable

import torch
from torch import Tensor

from cavs_kernels.av_attention.reference import (
    AttentionWeights,
    NormWeights,
    Reduce,
    Statistics,
    av_attention_block_reference,
    av_attention_reference,
)
from cavs_kernels.dispatch import choose

MODES = ("dot", "softmax", "visual")
KERNEL_CHANNELS = (64, 128, 256, 512)
KERNEL_TYPES = (torch.float32, torch.bfloat16, torch.float16)


def av_attention(
    tokens: Tensor, audio: Tensor | None, weights: AttentionWeights, *, mode: str = "dot", mask: Tensor | None = None
) -> Tensor:
    """Attend from every pixel of a group of frames to the group's audio, and return W_z(alpha g(x)), [G, T, P, C].

    tokens x: [G, T, P, C], channels last. audio a: [G, T, C], one vector a frame (None if visual). mask: [G, T] bool,
    False on frames that nobody may attend to; N = P times the number of True ones. With theta, phi, g: C -> K:
    dot: alpha = theta(x) phi(a)^T / N. softmax: alpha = softmax over all positions of theta(x) phi(a)^T.
    visual: alpha = theta(x) phi(x)^T / N, no audio. (TPAVI of AVSBench, arXiv 2301.13190; W_z is inside, the batch
    norm, residual and layer norm that follow are the caller's: `av_attention_block` has them.) All of it is one
    product a token, which torch does on every device. Raises ValueError on a shape or mode that does not fit.
    """
    return av_attention_reference(tokens, audio, weights, mode, _checked_mask(tokens, audio, weights, mode, mask))


def av_attention_block(
    tokens: Tensor,
    audio: Tensor | None,
    weights: AttentionWeights,
    norms: NormWeights,
    *,
    mode: str = "dot",
    mask: Tensor | None = None,
    running: tuple[Tensor, Tensor] | None = None,
    reduce: Reduce = lambda values: values,
) -> tuple[Tensor, Statistics | None]:
    """Return Z = LayerNorm(x + BN(W_z(alpha g(x)))) [G, T, P, C], 0 on masked frames, and what BN normalised with.

    tokens, audio, weights, mode, mask: as in `av_attention`. running: the (mean, var) [C] that BN normalises with; None
    for the statistics of all tokens, masked ones too, which are then returned for the caller's running averages (None
    otherwise). reduce: sums a tensor over the ranks that share statistics, differentiably: collective if it is, once
    for the number of tokens, the means and the variances each. Z has the tokens' type (float32 where an autocast is on
    and the reference runs). On kernels there are no second derivatives, and under `torch.compile` with an autocast
    slopes are those of eager mode only with `torch._functorch.config.backward_pass_autocast = "off"`.
    Raises ValueError on a shape or mode that does not fit.
    """
    mask = _checked_mask(tokens, audio, weights, mode, mask)
    fits = tokens.dtype in KERNEL_TYPES and tokens.shape[3] in KERNEL_CHANNELS
    block = choose(av_attention_block_reference, _kernel, tokens) if fits else av_attention_block_reference
    return block(tokens, audio, weights, norms, mode, mask, running, reduce)


def _kernel() -> Callable[..., tuple[Tensor, Statistics | None]]:
    from cavs_kernels.av_attention.fused import av_attention_block_fused

    return av_attention_block_fused


def _checked_mask(
    tokens: Tensor, audio: Tensor | None, weights: AttentionWeights, mode: str, mask: Tensor | None
) -> Tensor:
    """Return the mask, all True if None. Raises ValueError on a shape or mode that does not fit."""
    if mode not in MODES:
        raise ValueError(f"mode is {mode!r}; expected one of {', '.join(MODES)}")
    if tokens.ndim != 4:
        raise ValueError(f"tokens have shape {tuple(tokens.shape)}; expected [G, T, P, C]")
    groups, frames, _, channels = tokens.shape
    if (audio is None) != (mode == "visual"):
        raise ValueError(
            f"mode {mode!r} with audio {'missing' if audio is None else 'given'}: only visual goes without"
        )
    if audio is not None and audio.shape != (groups, frames, channels):
        raise ValueError(f"audio has shape {tuple(audio.shape)}; expected {(groups, frames, channels)}")
    if weights.theta_w.shape[1] != channels:
        raise ValueError(f"the weights take {weights.theta_w.shape[1]} channels, the tokens have {channels}")
    if mask is None:
        mask = torch.ones(groups, frames, dtype=torch.bool, device=tokens.device)
    if mask.shape != (groups, frames):
        raise ValueError(f"mask has shape {tuple(mask.shape)}; expected {(groups, frames)}")
    return mask
