from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from cavs_kernels.av_attention import AttentionWeights, NormWeights
from cavs_kernels.av_attention.direct import av_attention_direct
from cavs_kernels.av_attention.reference import Reduce, av_attention_block_reference, av_attention_reference

MODES = ["dot", "softmax", "visual"]
# Groups, frames, pixels, channels: one of everything, odd sizes, one frame, one pixel, more channels than tokens.
SHAPES = [(1, 1, 1, 2), (3, 5, 7, 6), (2, 1, 9, 4), (2, 4, 1, 4), (1, 3, 2, 16)]


def inputs(
    shape: tuple[int, int, int, int], mode: str, bias: float = 3.0
) -> tuple[Tensor, Tensor | None, list[Tensor]]:
    """Random tokens, audio and weights in float64, with large biases: they are what a collapse gets wrong first."""
    torch.manual_seed(sum(shape))
    groups, frames, pixels, channels = shape
    inner = channels // 2
    shapes = [*[(inner, channels), (inner,)] * 3, (channels, inner), (channels,)]
    weights = [torch.randn(size, dtype=torch.float64) * (bias if len(size) == 1 else 1.0) for size in shapes]
    tokens = torch.randn(groups, frames, pixels, channels, dtype=torch.float64)
    audio = None if mode == "visual" else torch.randn(groups, frames, channels, dtype=torch.float64)
    return tokens, audio, weights


def some_frames(groups: int, frames: int) -> Tensor:
    """A mask with a group that nobody is in, and gaps in the others."""
    mask = torch.rand(groups, frames, generator=torch.Generator().manual_seed(1)) > 0.4
    mask[0] = False
    return mask


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("mode", MODES)
def test_values_and_all_gradients_are_those_of_the_direct_form(
    mode: str, shape: tuple[int, int, int, int], masked: bool
) -> None:
    tokens, audio, weights = inputs(shape, mode)
    mask = some_frames(*shape[:2]) if masked else torch.ones(shape[:2], dtype=torch.bool)
    leaves = [leaf.requires_grad_() for leaf in (tokens, audio, *weights) if leaf is not None]
    direction = torch.randn_like(tokens)
    results = []
    for form in (av_attention_direct, av_attention_reference):
        values = form(tokens, audio, AttentionWeights(*weights), mode, mask)
        results.append([values, *torch.autograd.grad(values, leaves, direction)])
    for expected, found in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("mode", MODES)
def test_gradcheck(mode: str) -> None:
    tokens, audio, weights = inputs((2, 2, 2, 2), mode)
    mask = torch.tensor([[True, False], [True, True]])
    leaves = [leaf.requires_grad_() for leaf in (tokens, audio, *weights) if leaf is not None]

    def attend(*leaves: Tensor) -> Tensor:
        heard = leaves[1] if audio is not None else None
        return av_attention_reference(leaves[0], heard, AttentionWeights(*leaves[-8:]), mode, mask)

    assert torch.autograd.gradcheck(attend, leaves)


@pytest.mark.parametrize("mode", MODES)
def test_non_contiguous_maps(mode: str) -> None:
    tokens, audio, weights = inputs((2, 3, 4, 6), mode)
    mask = torch.ones(2, 3, dtype=torch.bool)
    strided = tokens.permute(3, 2, 1, 0).contiguous().permute(3, 2, 1, 0)
    assert not strided.is_contiguous()
    found = av_attention_reference(strided, audio, AttentionWeights(*weights), mode, mask)
    torch.testing.assert_close(found, av_attention_direct(tokens, audio, AttentionWeights(*weights), mode, mask))


@pytest.mark.parametrize("mode", MODES)
def test_float32_keeps_its_digits_far_from_the_origin(mode: str) -> None:
    tokens, audio, weights = inputs((1, 5, 49, 8), mode, bias=10.0)
    tokens, mask = tokens + 30.0, torch.ones(1, 5, dtype=torch.bool)
    expected = av_attention_direct(tokens, audio, AttentionWeights(*weights), mode, mask)
    narrow = AttentionWeights(*(weight.float() for weight in weights))
    found = av_attention_reference(tokens.float(), None if audio is None else audio.float(), narrow, mode, mask)
    assert (found - expected).abs().max() < 1e-5 * expected.abs().max()


def block_leaves(mode: str) -> list[Tensor]:
    """Tokens, audio (but for visual), attention weights and norm weights, with slopes: 4 groups of 3 frames."""
    tokens, audio, weights = inputs((4, 3, 2, 4), mode, bias=1.0)
    norms = [torch.randn(4, dtype=torch.float64) for _ in range(4)]
    return [leaf.requires_grad_() for leaf in (tokens, audio, *weights, *norms) if leaf is not None]


def block(
    *leaves: Tensor,
    mode: str,
    mask: Tensor,
    running: tuple[Tensor, Tensor] | None,
    reduce: Reduce = lambda total: total,
) -> Tensor:
    audio = None if mode == "visual" else leaves[1]
    weights, norms = AttentionWeights(*leaves[-12:-4]), NormWeights(*leaves[-4:])
    return av_attention_block_reference(leaves[0], audio, weights, norms, mode, mask, running, reduce)[0]


RUNNING = [None, (torch.tensor([1.0, 0, -2, 0.5]).double(), torch.tensor([1.0, 2, 3, 0.5]).double())]


@pytest.mark.parametrize("running", RUNNING, ids=["batch", "running"])
@pytest.mark.parametrize("mode", MODES)
def test_the_block_is_the_direct_form_and_torch_s_norms(mode: str, running: tuple[Tensor, Tensor] | None) -> None:
    leaves, mask = block_leaves(mode), some_frames(4, 3)
    audio = None if mode == "visual" else leaves[1]
    update = av_attention_direct(leaves[0], audio, AttentionWeights(*leaves[-12:-4]), mode, mask)
    mean, var = running or (None, None)
    normed = F.batch_norm(update.flatten(0, 2), mean, var, leaves[-4], leaves[-3], training=running is None)
    direct = F.layer_norm(leaves[0] + normed.view_as(update), (4,), leaves[-2], leaves[-1]) * mask[..., None, None]
    direction = torch.randn_like(direct)
    results = []
    for values in (direct, block(*leaves, mode=mode, mask=mask, running=running)):
        results.append([values, *torch.autograd.grad(values, leaves, direction)])
    for expected, found in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("running", RUNNING, ids=["batch", "running"])
@pytest.mark.parametrize("mode", MODES)
def test_gradcheck_of_the_block(mode: str, running: tuple[Tensor, Tensor] | None) -> None:
    form = partial(block, mode=mode, mask=some_frames(4, 3), running=running)
    assert torch.autograd.gradcheck(form, block_leaves(mode), fast_mode=True)


@pytest.mark.parametrize("mode", MODES)
def test_two_ranks_of_unequal_size_are_one(mode: str) -> None:
    leaves, mask, barrier = block_leaves(mode), some_frames(4, 3), Barrier(2)
    shares: dict[int, Tensor] = {}
    few = 1 if mode == "visual" else 2

    def rank(number: int) -> Tensor:
        def reduce(values: Tensor) -> Tensor:
            shares[number] = values
            barrier.wait()
            total = shares[0] + shares[1]
            barrier.wait()
            return total

        mine = slice(0, 3) if number == 0 else slice(3, 4)
        split = [leaf[mine] for leaf in leaves[:few]]
        return block(*split, *leaves[few:], mode=mode, mask=mask[mine], running=None, reduce=reduce)

    with ThreadPoolExecutor(2) as ranks:
        halves = torch.cat(list(ranks.map(rank, range(2))))
    whole = block(*leaves, mode=mode, mask=mask, running=None)
    direction = torch.randn_like(whole)
    results = [[values, *torch.autograd.grad(values, leaves, direction)] for values in (whole, halves)]
    for expected, found in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-8)
