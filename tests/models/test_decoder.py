import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from cavs_dist.models.decoder import Decoder, DilatedNeck, ResidualUnit


def conv(layer: torch.nn.Conv2d, maps: Tensor, dilation: int = 1) -> Tensor:
    return F.conv2d(maps, layer.weight, layer.bias, padding=dilation, dilation=dilation)


def refine(unit: ResidualUnit, maps: Tensor) -> Tensor:
    return F.relu(maps) + conv(unit.conv2, F.relu(conv(unit.conv1, F.relu(maps))))


def up(maps: Tensor) -> Tensor:
    return F.interpolate(maps, scale_factor=2, mode="bilinear", align_corners=True)


def test_a_neck_is_a_sum_over_dilations() -> None:
    torch.manual_seed(0)
    neck, maps = DilatedNeck(16, 8, (3, 6, 12, 18)), torch.randn(2, 16, 7, 5)
    expected = sum(conv(layer, maps, d) for layer, d in zip(neck.convs, (3, 6, 12, 18), strict=True))
    torch.testing.assert_close(neck(maps), expected)
    spread = torch.cat([layer.weight.flatten() for layer in neck.convs]).std()
    assert 0.0095 < spread < 0.0105


def test_the_decoder_is_its_formula() -> None:
    torch.manual_seed(0)
    decoder = Decoder(6, 4, 5).double()
    levels = [torch.randn(2, 6, side, 2 * side).double() for side in (16, 8, 4, 2)]
    maps = up(refine(decoder.merge[3], levels[3]))
    for i in (2, 1, 0):
        maps = up(refine(decoder.merge[i], refine(decoder.skip[i], levels[i]) + maps))
    features = F.interpolate(conv(decoder.reduce, maps), scale_factor=2, mode="bilinear", align_corners=False)
    features = F.relu(conv(decoder.last, features))
    found = decoder(levels, (64, 128))
    torch.testing.assert_close(found, (maps, features))
    assert found[0].shape == (2, 6, 32, 64)


@pytest.mark.parametrize("size", [(50, 36), (33, 61)])
def test_odd_sizes_come_out_whole(size: tuple[int, int]) -> None:
    levels, sides = [], size
    for level in range(5):
        sides = (-(-sides[0] // 2), -(-sides[1] // 2))
        levels += [torch.randn(1, 4, *sides)] * (level > 0)
    head_map, features = Decoder(4, 4, 3)(levels, size)
    assert features.shape == (1, 3, *size)
    assert head_map.shape[2:] == (2 * levels[0].shape[2], 2 * levels[0].shape[3])
