"""The public op of audio-visual attention."""

import torch
from torch import Tensor

from cavs_kernels.av_attention.reference import AttentionWeights, av_attention_reference

MODES = ("dot", "softmax", "visual")


def av_attention(
    tokens: Tensor, audio: Tensor | None, weights: AttentionWeights, *, mode: str = "dot", mask: Tensor | None = None
) -> Tensor:
    """Attend from every pixel of a group of frames to the group's audio, and return W_z(alpha g(x)), [G, T, P, C].

    tokens x: [G, T, P, C], channels last. audio a: [G, T, C], one vector a frame (None if visual). mask: [G, T] bool,
    False on frames that nobody may attend to; N = P times the number of True ones. With theta, phi, g: C -> K:
    dot: alpha = theta(x) phi(a)^T / N. softmax: alpha = softmax over all positions of theta(x) phi(a)^T.
    visual: alpha = theta(x) phi(x)^T / N, no audio. (TPAVI of AVSBench, arXiv 2301.13190; W_z is inside, the batch
    norm, residual and layer norm that follow are the caller's.) Raises ValueError on a shape or mode that does not fit.
    """
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
    return av_attention_reference(tokens, audio, weights, mode, mask)
