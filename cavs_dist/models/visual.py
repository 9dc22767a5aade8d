"""Visual encoders: frames to four levels, finest first."""

from pathlib import Path
from typing import Any

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cavs_dist.errors import InputError
from cavs_dist.models.norm import Norm, make_norm
from cavs_dist.models.weights import load_weights

SMALL = "small"


def make_visual_encoder(name: str, weights: str, norm: Norm) -> nn.Module:
    """Return an encoder with `.channels`, the channels of its four levels (strides 4, 8, 16, 32).

    name: `small`, our own, trained from scratch, or any timm model with feature maps. weights: "" (random), `timm` (its
    pretrained ones, by timm's own cache or download), or a file. Raises InputError for an unknown name.
    """
    if name == SMALL:
        encoder: nn.Module = SmallEncoder(norm)
        if weights:
            load_weights(encoder, Path(weights))
        return encoder
    if not timm.is_model(name):
        near = ", ".join(timm.list_models(f"*{name.split('_')[0]}*")[:5]) or "see timm.list_models()"
        raise InputError(f"model.backbone={name!r} is neither {SMALL!r} nor a timm model; near it: {near}")
    return _timm_encoder(name, weights, norm)


def _timm_encoder(name: str, weights: str, norm: Norm) -> nn.Module:
    plain = "vit" in name and "pvt" not in name
    options: dict[str, Any] = {"out_indices": (-1,)} if plain else {"out_indices": (0, 1, 2, 3)}
    if name.startswith("resnet"):
        options["out_indices"] = (1, 2, 3, 4)
    body = timm.create_model(name, pretrained=weights == "timm", features_only=True, **options)
    if weights not in ("", "timm"):
        load_weights(body, Path(weights), but=("fc.", "head.", "norm."))
    if norm == "frozen":
        for module in body.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.__class__ = FrozenBatchNorm
    return ViTPyramid(body) if plain else TimmEncoder(body)


class FrozenBatchNorm(nn.BatchNorm2d):
    """Batch norm that always uses its running statistics."""

    def train(self, mode: bool = True) -> "FrozenBatchNorm":
        """Stay in evaluation mode."""
        super().train(False)
        return self


class TimmEncoder(nn.Module):
    """A timm backbone that gives the four levels itself."""

    def __init__(self, body: Any) -> None:
        super().__init__()
        self.body = body
        self.channels: tuple[int, ...] = tuple(body.feature_info.channels())

    def forward(self, frames: Tensor) -> tuple[Tensor, ...]:
        """Encode [N, 3, H, W] frames."""
        return tuple(self.body(frames))


class ViTPyramid(nn.Module):
    """A plain ViT's last map (stride 16) with a simple feature pyramid (ViTDet, Li et al., arXiv 2203.16527)."""

    def __init__(self, body: Any) -> None:
        super().__init__()
        self.body = body
        width = body.feature_info.channels()[-1]
        self.channels = (width // 4, width // 2, width, width)
        self.eighth = nn.ConvTranspose2d(width, width // 2, 2, stride=2)
        self.fourth = nn.Sequential(
            nn.ConvTranspose2d(width, width // 2, 2, stride=2),
            nn.GELU(),
            nn.ConvTranspose2d(width // 2, width // 4, 2, stride=2),
        )

    def forward(self, frames: Tensor) -> tuple[Tensor, ...]:
        """Encode [N, 3, H, W] frames."""
        last: Tensor = self.body(frames)[-1]
        return self.fourth(last), self.eighth(last), last, F.max_pool2d(last, 2)


class SmallEncoder(nn.Module):
    """A residual network for small frames on CPUs: about 0.6 M parameters."""

    def __init__(self, norm: Norm, channels: tuple[int, ...] = (32, 64, 96, 128)) -> None:
        super().__init__()
        self.channels = channels
        self.stem = nn.Sequential(nn.Conv2d(3, 24, 3, stride=2, padding=1), make_norm(norm, 24), nn.ReLU())
        pairs = zip((24, *channels), channels, strict=False)
        self.levels = nn.ModuleList(ResidualBlock(before, after, norm) for before, after in pairs)

    def forward(self, frames: Tensor) -> tuple[Tensor, ...]:
        """Encode [N, 3, H, W] frames."""
        maps, levels = self.stem(frames), []
        for level in self.levels:
            maps = level(maps)
            levels.append(maps)
        return tuple(levels)


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions, the first of stride 2, beside a pooled projection."""

    def __init__(self, before: int, after: int, norm: Norm) -> None:
        super().__init__()
        self.convs = nn.Sequential(
            nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False),
            make_norm(norm, after),
            nn.ReLU(),
            nn.Conv2d(after, after, 3, padding=1, bias=False),
            make_norm(norm, after),
        )
        self.project = nn.Sequential(nn.AvgPool2d(2, ceil_mode=True), nn.Conv2d(before, after, 1))

    def forward(self, maps: Tensor) -> Tensor:
        """Halve [N, C, H, W]."""
        return torch.relu(self.convs(maps) + self.project(maps))
