import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cavs_dist.errors import InputError
from cavs_dist.models.norm import SyncNorm
from cavs_dist.models.unet import UNet, UNetConfig

LITTLE = UNetConfig(levels=4, first=3, most=8)


def little() -> UNet:
    """A U-Net in float64 whose norms have no trivial weights."""
    torch.manual_seed(0)
    unet = UNet(LITTLE, 5).double()
    for module in unet.modules():
        if isinstance(module, SyncNorm):
            nn.init.uniform_(module.weight, 0.5, 2.0)
            nn.init.normal_(module.bias)
    return unet


def normalised(maps: Tensor, norm: nn.Module) -> Tensor:
    return F.batch_norm(maps, None, None, norm.weight, norm.bias, training=True)


def direct(unet: UNet, spectrogram: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
    """The table row by row: out, latent and the down maps; skips carry the LeakyReLU'd map."""
    maps = normalised(spectrogram, unet.norm)
    down, skips, last = [], [], LITTLE.levels - 1
    for level, layer in enumerate(unet.down):
        if level > 0:
            maps = F.leaky_relu(maps, 0.2)
            skips.append(maps)
        maps = F.conv2d(maps, layer[min(level, 1)].weight, stride=2, padding=1)
        if 0 < level < last:
            maps = normalised(maps, layer[2])
        down.append(maps)
    for level in reversed(range(LITTLE.levels)):
        if level < last:
            maps = torch.cat((skips[level], maps), dim=1)
        maps = F.relu(maps).repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
        maps = F.conv2d(maps, unet.up[level][2].weight, padding=1)
        if level > 0:
            maps = normalised(maps, unet.up[level][3])
        if level == 3:
            latent = maps
    return maps, latent, down


def test_it_is_the_table_with_all_gradients() -> None:
    unet = little()
    spectrogram = torch.rand(3, 1, 32, 16, dtype=torch.float64, requires_grad=True)
    leaves, results = [spectrogram, *unet.parameters()], []
    found = unet(spectrogram)
    for out, latent, down in (direct(unet, spectrogram), (found.out, found.latent, found.down)):
        weighed = sum((torch.arange(m.numel()).view_as(m).sin() * m).sum() for m in (out, latent, *down))
        results.append([out, latent, *down, *torch.autograd.grad(weighed, leaves)])
    for expected, ours in zip(*results, strict=True):
        torch.testing.assert_close(ours, expected)


def test_at_the_size_of_the_paper_it_has_its_parameters_and_shapes() -> None:
    """Convolutions down and up, then two parameters a channel for each norm: level 1, levels 2-6 and 7-2."""
    widths = (64, 128, 256, 512, 512, 512, 512)
    down = 16 * sum(before * after for before, after in zip((1, *widths), widths, strict=False))
    up = 9 * (512 * 512 + 2 * 1024 * 512 + 1024 * 256 + 512 * 128 + 256 * 64 + 128 * 32)
    norms = 2 * (1 + sum(widths[1:6]) + sum(widths[:6]))
    with torch.device("meta"):
        unet = UNet(UNetConfig(), 32).eval()
        found = unet(torch.empty(2, 1, 256, 256))
    assert sum(parameter.numel() for parameter in unet.parameters()) == down + up + norms == 30_274_178
    assert found.out.shape == (2, 32, 256, 256)
    assert found.latent.shape == (2, 256, 32, 32)
    assert [maps.shape[1:] for maps in found.maps] == [
        (64, 128, 128), (128, 64, 64), (256, 32, 32), (512, 16, 16), (512, 8, 8), (512, 4, 4), (512, 2, 2),
        (32, 256, 256),
    ]  # fmt: skip


def test_spectrograms_need_not_be_square() -> None:
    found = UNet(UNetConfig(levels=5, first=2, most=8, norm="group"), 3)(torch.rand(1, 1, 256, 128))
    assert found.out.shape == (1, 3, 256, 128)
    assert found.latent.shape == (1, 8, 32, 16)


@pytest.mark.parametrize("sides", [(24, 16), (16, 24)])
def test_sides_that_cannot_be_halved_are_refused(sides: tuple[int, int]) -> None:
    with pytest.raises(InputError, match="expected multiples of 16 for 4 levels"):
        UNet(LITTLE, 5)(torch.rand(1, 1, *sides))


def test_too_few_levels_are_refused() -> None:
    with pytest.raises(InputError, match="levels=3 is too few"):
        UNet(UNetConfig(levels=3), 5)
