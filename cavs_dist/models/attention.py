"""The attention of one level: TPAVI (Zhou et al., AVSBench, arXiv 2301.13190) on channels-last tokens."""

from typing import Literal

import torch
from torch import Tensor, nn

from cavs_dist.distributed import summed_over_ranks
from cavs_dist.errors import InputError
from cavs_dist.models.norm import Norm, SyncNorm, make_norm
from cavs_kernels.av_attention import AttentionWeights, NormWeights, av_attention, av_attention_block

Attention = Literal["dot", "softmax", "visual"]


class AudioVisualAttention(nn.Module):
    """Z = LayerNorm(x + norm(W_z(alpha g(x)))), with `norm` starting at 0, so that Z starts as LayerNorm(x).

    mode: `dot` and `softmax` attend from pixels to the audio of the group's frames, `visual` to its pixels (the twin).
    """

    def __init__(self, channels: int, audio_channels: int, mode: Attention, norm: Norm) -> None:
        super().__init__()
        inner = channels // 2
        self.mode = mode
        self.align = None if mode == "visual" else nn.Linear(audio_channels, channels, bias=False)
        self.theta, self.phi, self.g = (nn.Linear(channels, inner) for _ in range(3))
        self.z = nn.Linear(inner, channels)
        self.norm = make_norm(norm, channels)
        for parameter in self.norm.parameters():
            nn.init.zeros_(parameter)
        self.layer_norm = nn.LayerNorm(channels)

    def forward(self, maps: Tensor, embedding: Tensor, present: Tensor) -> tuple[Tensor, Tensor | None]:
        """Attend within groups of frames.

        maps: [N, C, h, w]; embedding: [N, audio_channels]; present: [G, T] bool, G T = N, False on padded frames.
        Returns the attended maps (zero on padded frames) and the projected audio [N, C] (None if visual).
        """
        groups, frames = present.shape
        _, channels, height, width = maps.shape
        tokens = maps.permute(0, 2, 3, 1).reshape(groups, frames, height * width, channels)
        audio = None if self.align is None else self.align(embedding)
        grouped = None if audio is None else audio.view(groups, frames, channels)
        if isinstance(self.norm, SyncNorm):
            attended = self._fused(self.norm, tokens, grouped, present).view(-1, height, width, channels)
        else:
            update = av_attention(tokens, grouped, self._weights(), mode=self.mode, mask=present)
            update = self.norm(_as_maps(update, height, width)).permute(0, 2, 3, 1)
            attended = self.layer_norm(tokens.view_as(update) + update) * present.view(-1, 1, 1, 1)
        return attended.permute(0, 3, 1, 2), audio

    def _fused(self, norm: SyncNorm, tokens: Tensor, audio: Tensor | None, present: Tensor) -> Tensor:
        """Attend and normalise in one op. Collective where the batch norm's statistics are."""
        layer = self.layer_norm
        norms = NormWeights(norm.weight, norm.bias, layer.weight, layer.bias, norm.eps, layer.eps)
        attended, statistics = av_attention_block(
            tokens, audio, self._weights(), norms,
            mode=self.mode, mask=present, running=norm.running(), reduce=summed_over_ranks,
        )  # fmt: skip
        if statistics is not None:
            norm.follow(statistics)
        return attended

    def _weights(self) -> AttentionWeights:
        layers = (self.theta, self.phi, self.g, self.z)
        return AttentionWeights(*(tensor for layer in layers for tensor in (layer.weight, layer.bias)))


def _as_maps(tokens: Tensor, height: int, width: int) -> Tensor:
    """View [G, T, P, C] tokens as channels-last [N, C, h, w] maps, without a copy."""
    return tokens.reshape(-1, height, width, tokens.shape[-1]).permute(0, 3, 1, 2)


def group_frames(present: Tensor, size: int) -> Tensor:
    """Cut [B, T] `present` into groups of `size` frames, [B T / size, size]; size 0 keeps each clip whole."""
    refuse_groups(present.shape[1], size)
    return present if size == 0 else torch.reshape(present, (-1, size))


def refuse_groups(frames: int, size: int) -> None:
    """Raise InputError where groups of `size` do not divide the frames of a clip."""
    if size and frames % size:
        raise InputError(f"model.group={size} does not divide the {frames} frames of a clip: set it to a divisor, or 0")
