import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from cavs_dist.errors import InputError
from cavs_dist.models.attention import AudioVisualAttention, group_frames
from cavs_kernels.av_attention.direct import av_attention_direct

PRESENT = torch.tensor([[True, True, True], [True, False, True]])
MODES = ["dot", "softmax", "visual"]


def module(mode: str, norm: str = "sync") -> AudioVisualAttention:
    """A module whose every parameter is random: it starts with an update of 0."""
    torch.manual_seed(0)
    attention = AudioVisualAttention(8, 5, mode, norm)  # type: ignore[arg-type]
    for parameter in attention.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return attention


def inputs(dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    return torch.randn(6, 8, 3, 4, dtype=dtype), torch.randn(6, 5, dtype=dtype)


def direct(ours: AudioVisualAttention, maps: Tensor, embedding: Tensor) -> Tensor:
    """The formula of TPAVI with the N x N matrix, on channels-first maps: BN, residual, LN over channels."""
    groups, frames = PRESENT.shape
    tokens = maps.permute(0, 2, 3, 1).reshape(groups, frames, 12, 8)
    audio = None if ours.align is None else (embedding @ ours.align.weight.T).view(groups, frames, 8)
    update = av_attention_direct(tokens, audio, ours._weights(), ours.mode, PRESENT).view(6, 3, 4, 8)
    update = update.permute(0, 3, 1, 2).contiguous()
    update = F.batch_norm(update, None, None, ours.norm.weight, ours.norm.bias, training=True)
    z = F.layer_norm((maps + update).permute(0, 2, 3, 1), (8,), ours.layer_norm.weight, ours.layer_norm.bias)
    return z.permute(0, 3, 1, 2) * PRESENT.view(6, 1, 1, 1)


@pytest.mark.parametrize("mode", MODES)
def test_the_whole_module_is_its_formula_with_all_gradients(mode: str) -> None:
    ours = module(mode).double()
    maps, embedding = inputs(torch.float64)
    leaves = [maps.requires_grad_(), *ours.parameters()]
    if mode != "visual":
        leaves.append(embedding.requires_grad_())
    direction = torch.randn(6, 8, 3, 4, dtype=torch.float64)
    results = []
    for values in (direct(ours, maps, embedding), ours(maps, embedding, PRESENT)[0]):
        results.append([values, *torch.autograd.grad(values, leaves, direction)])
    for expected, found in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("mode", MODES)
def test_it_starts_as_a_layer_norm(mode: str) -> None:
    fresh = AudioVisualAttention(8, 5, mode, "group")  # type: ignore[arg-type]
    maps, embedding = inputs(torch.float32)
    everyone = torch.ones(2, 3, dtype=torch.bool)
    expected = F.layer_norm(maps.permute(0, 2, 3, 1), (8,)).permute(0, 3, 1, 2)
    torch.testing.assert_close(fresh(maps, embedding, everyone)[0], expected)


def test_audio_is_projected_without_bias_and_padded_frames_are_zero() -> None:
    ours = module("dot")
    maps, embedding = inputs(torch.float32)
    attended, audio = ours(maps, embedding, PRESENT)
    assert not attended[4].any() and attended[3].any()
    torch.testing.assert_close(audio, embedding @ ours.align.weight.T)
    assert module("visual")(maps, embedding, PRESENT)[1] is None


@pytest.mark.parametrize("norm", ["sync", "frozen", "group"])
@pytest.mark.parametrize("mode", MODES)
def test_bfloat16_is_close(mode: str, norm: str) -> None:
    ours = module(mode, norm)
    maps, embedding = inputs(torch.float32)
    expected = ours(maps, embedding, PRESENT)[0]
    with torch.autocast("cpu", torch.bfloat16):
        found = ours(maps.bfloat16(), embedding.bfloat16(), PRESENT)[0].float()
    assert (found - expected).abs().mean() < 0.02 * expected.abs().mean()


def test_frames_are_grouped_in_order() -> None:
    present = torch.arange(12).view(2, 6)
    assert group_frames(present, 3).tolist() == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11]]
    assert group_frames(present, 0) is present
    with pytest.raises(InputError, match="group=4 does not divide the 6 frames"):
        group_frames(present, 4)
