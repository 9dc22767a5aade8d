"""From four attended levels to head features (the top-down decoder of AVSBench's baseline, arXiv 2301.13190)."""

from collections.abc import Sequence
from functools import reduce
from operator import add

import torch.nn.functional as F
from torch import Tensor, nn


class DilatedNeck(nn.Module):
    """Bring a level to the decoder's channels: the sum of parallel 3 x 3 convolutions, one a dilation, N(0, 0.01)."""

    def __init__(self, before: int, channels: int, dilations: Sequence[int]) -> None:
        super().__init__()
        convs = [nn.Conv2d(before, channels, 3, padding=d, dilation=d) for d in dilations]
        for conv in convs:
            nn.init.normal_(conv.weight, std=0.01)
        self.convs = nn.ModuleList(convs)

    def forward(self, maps: Tensor) -> Tensor:
        """Map [N, C, h, w] to [N, channels, h, w]."""
        return reduce(add, (conv(maps) for conv in self.convs))


class ResidualUnit(nn.Module):
    """R(x) = relu(x) + conv2(relu(conv1(relu(x)))), as an in-place first ReLU makes it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, maps: Tensor) -> Tensor:
        """Refine [N, C, h, w]."""
        start = maps.relu()
        return start + self.conv2(self.conv1(start).relu())


class Decoder(nn.Module):
    """out_i = up2(R2(R1(skip_i) + out_{i+1})), the coarsest level up2(R2(x)); then the head features."""

    def __init__(self, channels: int, levels: int, features: int) -> None:
        super().__init__()
        self.skip = nn.ModuleList(ResidualUnit(channels) for _ in range(levels - 1))
        self.merge = nn.ModuleList(ResidualUnit(channels) for _ in range(levels))
        self.reduce = nn.Conv2d(channels, channels // 2, 3, padding=1)
        self.last = nn.Conv2d(channels // 2, features, 3, padding=1)

    def forward(self, levels: Sequence[Tensor], size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Return the head map [N, C, H/2, W/2] and the head features [N, features, H, W], (H, W) = `size`."""
        maps = self._up(self.merge[-1](levels[-1]), levels[-2].shape[-2:])
        for i in reversed(range(len(levels) - 1)):
            target = levels[i - 1].shape[-2:] if i > 0 else (levels[0].shape[-2] * 2, levels[0].shape[-1] * 2)
            maps = self._up(self.merge[i](self.skip[i](levels[i]) + maps), target)
        features = F.interpolate(self.reduce(maps), size=size, mode="bilinear", align_corners=False)
        return maps, self.last(features).relu()

    @staticmethod
    def _up(maps: Tensor, size: Sequence[int]) -> Tensor:
        return F.interpolate(maps, size=tuple(size), mode="bilinear", align_corners=True)
