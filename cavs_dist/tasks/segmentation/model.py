"""The segmenter: frames and sound to a class for each pixel (the AVSBench baseline, arXiv 2301.13190)."""

from dataclasses import dataclass, replace
from typing import Literal, Self

import torch
from torch import Tensor, nn

from cavs_dist.curriculum import Stage
from cavs_dist.models.attention import Attention, AudioVisualAttention, group_frames
from cavs_dist.models.audio import EMBEDDING, AudioEncoder, make_audio_encoder
from cavs_dist.models.decoder import Decoder, DilatedNeck
from cavs_dist.models.heads import HeadInit, StageHeads
from cavs_dist.models.norm import Norm
from cavs_dist.models.visual import make_visual_encoder
from cavs_dist.outputs.segmentation import Batch, Outputs


@dataclass(frozen=True)
class ModelConfig:
    """The section `model`.

    backbone: `small` or a timm model's name. weights: of the backbone: "" (random), `timm`, or a file.
    freeze: keep the backbone as it is. audio: the audio encoder. audio_weights: its file (vggish needs one).
    attention: what pixels attend to. group: frames that attend to each other, 0 for the whole clip.
    norm: normalisation, over the micro-batch of all ranks, frozen, or by groups of channels.
    channels: of every level after its neck. dilations: of the neck's parallel convolutions. features: of the head.
    """

    backbone: str = "small"
    weights: str = ""
    freeze: bool = False
    audio: AudioEncoder = "cnn"
    audio_weights: str = ""
    attention: Attention = "dot"
    group: int = 0
    norm: Norm = "group"
    channels: int = 48
    dilations: tuple[int, ...] = (1,)
    features: int = 32


class Segmenter(nn.Module):
    """Four levels, attention at each, a decoder, and one head a stage."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.group = config.group
        self.visual = make_visual_encoder(config.backbone, config.weights, config.norm)
        self.freeze = config.freeze
        self._backbone().requires_grad_(not config.freeze)
        deaf = config.attention == "visual"
        self.audio = None if deaf else make_audio_encoder(config.audio, config.audio_weights)
        channels: tuple[int, ...] = self.visual.channels  # type: ignore[assignment]
        self.necks = nn.ModuleList(DilatedNeck(before, config.channels, config.dilations) for before in channels)
        self.attention = nn.ModuleList(
            AudioVisualAttention(config.channels, EMBEDDING, config.attention, config.norm) for _ in channels
        )
        self.decoder = Decoder(config.channels, len(channels), config.features)
        self.heads = StageHeads(config.features)

    def grow(self, stage: Stage, init: HeadInit, seed: int) -> None:
        """Add the head of `stage`, alike on all ranks."""
        self.heads.grow(len(stage.new), init, seed)

    def train(self, mode: bool = True) -> Self:
        """Set the mode of all parts but a frozen backbone, whose statistics stay as they are."""
        super().train(mode)
        if self.freeze:
            self._backbone().eval()
        return self

    def _backbone(self) -> nn.Module:
        """What `freeze` keeps as it is; the pyramid around a ViT is ours to train."""
        return getattr(self.visual, "body", self.visual)

    def embed(self, batch: Batch) -> Tensor:
        """Return each frame's audio embedding, [N, 128], zero on padded frames and where nothing listens."""
        if self.audio is None:
            return batch.audio.new_zeros(len(batch.audio), EMBEDDING)
        return self.audio(batch.audio) * batch.present.view(-1, 1)

    def forward(self, batch: Batch, embedding: Tensor | None = None) -> Outputs:
        """Segment the batch's frames; `embedding` [N, 128] stands in for what its audio would give."""
        embedding = self.embed(batch) if embedding is None else embedding
        present = group_frames(batch.present, self.group)
        levels, audio = [], []
        maps = self.visual(batch.frames.contiguous(memory_format=torch.channels_last))
        for level, neck, attention in zip(maps, self.necks, self.attention, strict=True):
            attended, projected = attention(neck(level), embedding, present)
            levels.append(attended)
            audio += [] if projected is None else [projected]
        height, width = batch.frames.shape[-2:]
        head_map, features = self.decoder(levels, (height, width))
        visible = batch.present.view(-1, 1, 1, 1)
        weight, bias = self.heads()
        return Outputs(tuple(levels), head_map * visible, features * visible, weight, bias, tuple(audio))


def make_segmenter(config: ModelConfig, role: Literal["main", "twin", "hearing_twin"], seed: int) -> Segmenter:
    """Build a model without heads from `seed`: the run's own, the twin, which does not hear, or one that does."""
    torch.manual_seed(seed)
    return Segmenter(replace(config, attention="visual") if role == "twin" else config)
