"""Co-Separation (Gao and Grauman, arXiv 1904.07750): a U-Net whose bottleneck is told which object to separate."""

import math
from dataclasses import dataclass, field
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cavs_dist.models.norm import make_norm
from cavs_dist.models.separator import Separated, Separator
from cavs_dist.models.unet import UNetConfig, refuse_sides


@dataclass(frozen=True)
class CoSeparationConfig:
    """The section `co_separation`; features have as many channels, D, as the bottleneck.

    unet: levels, channels and norm of the U-Net. objects: channels of the features of objects.
    """

    unet: UNetConfig = field(default_factory=UNetConfig)
    objects: int = 512


SMALL = CoSeparationConfig(UNetConfig(levels=5, first=16, most=64), objects=128)


class CoSeparation(Separator):
    """Down once a mixture; f^o tiled beside the bottleneck; up once a source; a sigmoid mask.

    Ours are three things: f^o is a linear map of the objects' features, since these may come precomputed; f^a is one
    of the last up map before the mask, pooled with the separated log magnitude as weights; the attention is
    softmax(<f^o, bottleneck> / sqrt(D)) over places. Convolutions before a norm have no bias, which the norm removes.
    """

    def __init__(self, config: CoSeparationConfig) -> None:
        super().__init__()
        channels, norm = config.unet.channels, config.unet.norm
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for before, after in zip((1, *channels), channels, strict=False):
            conv = nn.Conv2d(before, after, 4, stride=2, padding=1, bias=False)
            self.down.append(nn.Sequential(conv, make_norm(norm, after), nn.LeakyReLU(0.2)))
        for outer, inner in pairwise(channels):
            deconv = nn.ConvTranspose2d(2 * inner, outer, 4, stride=2, padding=1, bias=False)
            self.up.append(nn.Sequential(deconv, make_norm(norm, outer), nn.ReLU()))
        self.mask = nn.ConvTranspose2d(2 * channels[0], 1, 4, stride=2, padding=1)
        self.object = nn.Linear(config.objects, channels[-1])
        self.audio = nn.Linear(channels[0], channels[-1])

    def grow(self, num_new: int, seed: int) -> None:
        """Do nothing: objects, not classes, tell what to separate."""

    def forward(self, spectrogram: Tensor, objects: Tensor, motion: Tensor | None, classes: Tensor) -> Separated:
        """Separate B mixtures of N sources: `Separator.forward`. Motion and classes are not looked at.

        The last of the maps has the sources' channels one after the other, [B, N C, bins / 2, T / 2].
        """
        refuse_sides(spectrogram.shape[2], spectrogram.shape[3], len(self.down))
        maps, down = spectrogram, []
        for layer in self.down:
            maps = layer(maps)
            down.append(maps)
        seen = self.object(objects.amax(dim=2))
        num_sources = objects.shape[1]
        beside = seen.flatten(0, 1)[:, :, None, None].expand(-1, -1, *maps.shape[2:])
        for level in reversed(range(len(self.up))):
            skip = down[level + 1].repeat_interleave(num_sources, dim=0)
            beside = self.up[level](torch.cat((skip, beside), dim=1))
        logits = self.mask(torch.cat((down[0].repeat_interleave(num_sources, dim=0), beside), dim=1))
        wide = torch.promote_types(logits.dtype, torch.float32)
        masks = logits.to(wide).sigmoid().view(-1, num_sources, *logits.shape[2:])
        audio = self.audio(pool_separated(beside.unflatten(0, (-1, num_sources)), masks * spectrogram))
        attention = torch.einsum("bnd,bdhw->bnhw", seen, maps).flatten(2) / math.sqrt(seen.shape[2])
        last = beside.reshape(len(spectrogram), -1, *beside.shape[2:])
        attention = attention.to(wide).softmax(dim=2)
        none = masks.new_empty(*masks.shape[:2], 0, 0)
        return Separated(masks, audio, seen, None, attention, (*down, last), none, none)


def pool_separated(maps: Tensor, separated: Tensor) -> Tensor:
    """Return the mean over places of [B, N, C, H/2, W/2] maps weighted by the [B, N, H, W] sound there, [B, N, C].

    Where nothing sounds the mean is 0.
    """
    weights = F.avg_pool2d(separated, 2).to(maps.dtype)
    total = weights.sum(dim=(2, 3)).clamp(min=torch.finfo(maps.dtype).eps)
    return torch.einsum("bnchw,bnhw->bnc", maps, weights) / total[..., None]
