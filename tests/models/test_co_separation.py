import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cavs_dist.models.co_separation import SMALL, CoSeparation, CoSeparationConfig, pool_separated
from cavs_dist.models.unet import UNetConfig

TINY = CoSeparationConfig(UNetConfig(levels=3, first=4, most=8), objects=6)


def tiny() -> CoSeparation:
    torch.manual_seed(0)
    model = CoSeparation(TINY).double()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    return model


def inputs() -> list[Tensor]:
    torch.manual_seed(1)
    return [torch.rand(2, 1, 16, 24).double(), torch.randn(2, 3, 2, 6).double()]


def normalised(maps: Tensor, norm: nn.Module) -> Tensor:
    return F.batch_norm(maps, None, None, norm.weight, norm.bias, training=True)


def direct(model: CoSeparation, spectrogram: Tensor, objects: Tensor) -> list[Tensor]:
    """The whole network on one row a source, B N of them: masks, f^a, f^o, attention and the last of the maps."""
    rows, down = torch.cat([spectrogram[b : b + 1] for b in (0, 0, 0, 1, 1, 1)]), []
    maps = rows
    for layer in model.down:
        maps = F.leaky_relu(normalised(F.conv2d(maps, layer[0].weight, stride=2, padding=1), layer[1]), 0.2)
        down.append(maps)
    seen = objects.flatten(0, 1).max(dim=1).values @ model.object.weight.T + model.object.bias
    up = seen.view(6, 8, 1, 1).repeat(1, 1, 2, 3)
    for level in (1, 0):
        up = F.conv_transpose2d(torch.cat((down[level + 1], up), 1), model.up[level][0].weight, stride=2, padding=1)
        up = normalised(up, model.up[level][1]).relu()
    logits = F.conv_transpose2d(torch.cat((down[0], up), 1), model.mask.weight, model.mask.bias, stride=2, padding=1)
    masks = 1 / (1 + torch.exp(-logits[:, 0]))
    sound = (masks * rows[:, 0]).view(6, 8, 2, 12, 2).mean(dim=(2, 4))
    pooled = torch.stack([(up[row] * sound[row]).sum(dim=(1, 2)) / sound[row].sum() for row in range(6)])
    audio = pooled @ model.audio.weight.T + model.audio.bias
    inner = torch.stack([(down[-1][row] * seen[row].view(8, 1, 1)).sum(dim=0).flatten() for row in range(6)])
    attention = (inner / math.sqrt(8)).softmax(dim=1)
    return [tensor.unflatten(0, (2, 3)) for tensor in (masks, audio, seen, attention, up)]


def test_it_is_its_formula_with_all_gradients() -> None:
    model, results = tiny(), []
    spectrogram, objects = (tensor.requires_grad_() for tensor in inputs())
    separated = model(spectrogram, objects, None, torch.zeros(2, 3, dtype=torch.int64))
    assert separated.motion is None
    last = separated.maps[-1].view(2, 3, 4, 8, 12)
    ours = [separated.masks, separated.audio, separated.object, separated.attention, last]
    for values in (direct(model, spectrogram, objects), ours):
        weighed = sum((torch.arange(value.numel()).view_as(value).sin() * value).sum() for value in values)
        results.append([*values, *torch.autograd.grad(weighed, [spectrogram, objects, *model.parameters()])])
    for expected, found in zip(*results, strict=True):
        torch.testing.assert_close(found, expected)


def test_features_of_silence_are_finite() -> None:
    maps = torch.randn(1, 2, 3, 4, 4, dtype=torch.float64, requires_grad=True)
    separated = torch.zeros(1, 2, 8, 8, dtype=torch.float64)
    separated[0, 1, 2:4, 6:8] = 1e-3
    pooled = pool_separated(maps, separated)
    assert not pooled[0, 0].any()
    torch.testing.assert_close(pooled[0, 1], maps[0, 1, :, 1, 3])
    pooled.sum().backward()
    assert maps.grad is not None and maps.grad.isfinite().all()


def test_the_small_one_is_small() -> None:
    model = CoSeparation(SMALL)
    assert sum(parameter.numel() for parameter in model.parameters()) < 1_500_000
    separated = model(torch.rand(1, 1, 256, 128), torch.rand(1, 2, 3, 128), None, torch.zeros(1, 2, dtype=torch.int64))
    assert separated.masks.shape == (1, 2, 256, 128)


def test_at_the_size_of_the_paper_object_and_sound_meet_with_512_channels_each() -> None:
    with torch.device("meta"):
        model = CoSeparation(CoSeparationConfig()).eval()
        separated = model(torch.empty(1, 1, 256, 256), torch.empty(1, 2, 3, 512), None, torch.empty(1, 2))
    assert model.up[-1][0].weight.shape == (1024, 512, 4, 4)
    assert separated.masks.shape == (1, 2, 256, 256)
    assert separated.audio.shape == (1, 2, 512) and separated.attention.shape == (1, 2, 4)


def test_new_classes_change_nothing() -> None:
    model = tiny()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.grow(5, seed=1)
    assert all(tensor.equal(before[name]) for name, tensor in model.state_dict().items())
    assert model.state_dict().keys() == before.keys()
