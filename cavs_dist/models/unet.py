"""The U-Net of a sound's spectrogram (The Sound of Pixels, arXiv 1804.03160, as iQuery has it, arXiv 2212.03814)."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from cavs_dist.errors import InputError
from cavs_dist.models.norm import Norm, make_norm

LATENT = 3  # the latent is as deep as the third level's down map


@dataclass(frozen=True)
class UNetConfig:
    """The section `unet`.

    levels: how often the sides are halved. first: channels of the first level. most: at most so many have the further
    levels, each twice the one before. norm: over the micro-batch of all ranks, frozen, or by groups of channels.
    """

    levels: int = 7
    first: int = 64
    most: int = 512
    norm: Norm = "sync"

    @property
    def channels(self) -> tuple[int, ...]:
        """The channels of each level's down map, finest first."""
        return tuple(min(self.first * 2**level, self.most) for level in range(self.levels))


class UNetMaps(NamedTuple):
    """What a U-Net gives for B spectrograms of H x W.

    out: [B, out, H, W]. latent: [B, channels of level 3, H/8, W/8], the up map that meets level 3's down map.
    down: each level's down map before its activation, finest first, [B, C, H/2, W/2] and so on.
    """

    out: Tensor
    latent: Tensor
    down: tuple[Tensor, ...]

    @property
    def maps(self) -> tuple[Tensor, ...]:
        """The maps that feature distillation compares: every down map and the last up map."""
        return (*self.down, self.out)


class UNet(nn.Module):
    """Levels of strided 4 x 4 convolutions down, of doubling and 3 x 3 convolutions up; no convolution has a bias.

    Normalised are the input, the down maps but the first and the last, and the up maps but the last.
    Raises InputError for fewer than 4 levels, which have no latent.
    """

    def __init__(self, config: UNetConfig, out: int) -> None:
        super().__init__()
        if config.levels <= LATENT:
            raise InputError(f"unet.levels={config.levels} is too few: the latent needs {LATENT + 1} or more")
        channels, last = config.channels, config.levels - 1
        self.levels = config.levels
        self.norm = make_norm(config.norm, 1)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for level, (before, after) in enumerate(zip((1, *channels), channels, strict=False)):
            down: list[nn.Module] = [nn.LeakyReLU(0.2)] if level > 0 else []
            down += [nn.Conv2d(before, after, 4, stride=2, padding=1, bias=False)]
            down += [make_norm(config.norm, after)] if 0 < level < last else []
            self.down.append(nn.Sequential(*down))
            inner, outer = after if level == last else 2 * after, before if level > 0 else out
            up = [nn.ReLU(), nn.Upsample(scale_factor=2), nn.Conv2d(inner, outer, 3, padding=1, bias=False)]
            up += [make_norm(config.norm, outer)] if level > 0 else []
            self.up.append(nn.Sequential(*up))

    def forward(self, spectrogram: Tensor) -> UNetMaps:
        """Map [B, 1, H, W], sides that 2^levels divides (InputError otherwise). Collective as its norms are."""
        refuse_sides(spectrogram.shape[2], spectrogram.shape[3], self.levels)
        maps, down = self.norm(spectrogram), []
        for layer in self.down:
            maps = layer(maps)
            down.append(maps)
        up: list[Tensor] = []
        for level in reversed(range(self.levels)):
            # A skip carries its LeakyReLU; the ReLU that comes next makes it the same as the map itself.
            maps = self.up[level](torch.cat((down[level], up[-1]), dim=1) if up else maps)
            up.append(maps)
        return UNetMaps(maps, up[-1 - LATENT], tuple(down))


def refuse_sides(height: int, width: int, levels: int) -> None:
    """Raise InputError where 2^levels does not divide the sides of a spectrogram."""
    if height % 2**levels or width % 2**levels:
        raise InputError(
            f"a spectrogram has {height} bins and {width} steps, expected multiples of {2**levels} for {levels} "
            "levels of the U-Net: change model.spectrogram.bins, data.mix.samples, or the unet.levels of the separator"
        )
