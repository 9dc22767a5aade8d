"""Visual encoders: frames to four levels, finest first."""

import re
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cavs_dist import distributed
from cavs_dist.errors import InputError
from cavs_dist.models.norm import Norm, make_norm, replace_batch_norms
from cavs_dist.models.weights import load_weights

SMALL = "small"
STRIDES = (4, 8, 16, 32)


def make_visual_encoder(name: str, weights: str, norm: Norm) -> nn.Module:
    """Return an encoder with `.channels`, the channels of its four levels (strides 4, 8, 16, 32).

    name: `small`, our own, trained from scratch, or any timm model with feature maps, whose batch norms become ours
    (frozen or, else, over all ranks). weights: "" (random), `timm` (its pretrained ones, from timm's cache or a
    download), or a file; none is looked for on the meta device. Raises InputError for an unknown name, and for weights
    that cannot be had or do not fit.
    """
    if name == SMALL:
        encoder: nn.Module = SmallEncoder(norm)
        if weights:
            load_weights(encoder, Path(weights))
        return encoder
    if not timm.is_model(name):
        near = ", ".join(get_close_matches(name, timm.list_models())) or "none, see timm.list_models()"
        raise InputError(f"model.backbone={name!r} is neither {SMALL!r} nor a timm model; near it: {near}")
    plain, options = _levels(name)
    fetched = weights == "timm" and distributed.device().type != "meta"
    body = _pretrained(name, options) if fetched else timm.create_model(name, **options)
    if weights not in ("", "timm"):
        load_weights(body, Path(weights), named=_timm_name, spare=True)
    replace_batch_norms(body, frozen=norm == "frozen")
    return ViTPyramid(body) if plain else TimmEncoder(body)


def _levels(name: str) -> tuple[bool, dict[str, Any]]:
    """Tell whether a timm model is a plain ViT, all of one stride, and how to ask timm for its levels."""
    with torch.device("meta"):
        probe = timm.create_model(name, features_only=True)
    strides = probe.feature_info.reduction()
    if len(set(strides)) == 1:
        any_size = {"dynamic_img_size": True} if hasattr(probe.model, "dynamic_img_size") else {}
        return True, {"features_only": True, "out_indices": (-1,), **any_size}
    if not set(STRIDES) <= set(strides):
        raise InputError(f"model.backbone={name} has levels of strides {strides}; expected {STRIDES} among them")
    return False, {"features_only": True, "out_indices": tuple(strides.index(stride) for stride in STRIDES)}


def _pretrained(name: str, options: dict[str, Any]) -> nn.Module:
    try:
        return timm.create_model(name, pretrained=True, **options)
    # What a cache or a download can raise is not timm's to say either.
    except Exception as error:
        raise InputError(
            f"timm's weights of {name} cannot be had ({str(error).splitlines()[0]}): fetch them once where there is a "
            "network, or set model.weights to a file"
        ) from error


def _timm_name(name: str) -> str:
    """Return what timm's whole model calls a tensor of its feature extractor: `stages_0.` is `stages.0.` there."""
    return re.sub(r"^(\w+)_(\d+)\.", r"\1.\2.", name.removeprefix("model."))


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
