import pytest
import torch
import torch._functorch.config
from torch import Tensor

from cavs_kernels.av_attention import AttentionWeights, NormWeights, Statistics, av_attention_block
from cavs_kernels.av_attention.fused import av_attention_block_fused
from cavs_kernels.av_attention.reference import av_attention_block_reference

pytestmark = pytest.mark.kernel

MODES = ["dot", "softmax", "visual"]
TYPES = [torch.float32, torch.float16, torch.bfloat16]


def inputs(
    shape: tuple[int, int, int, int], mode: str, dtype: torch.dtype, device: torch.device
) -> tuple[list[Tensor], Tensor]:
    """Tokens, audio (but for visual), 8 attention weights and 4 norm weights, float64 values that `dtype` holds."""
    if device.type == "cpu" and dtype == torch.bfloat16:
        pytest.skip("the interpreter multiplies bfloat16 wrongly")
    torch.manual_seed(sum(shape))
    groups, frames, pixels, channels = shape
    inner = channels // 2
    sizes = [(inner, channels), (inner,)] * 3 + [(channels, inner), (channels,)]
    weights = [torch.randn(size) / (size[-1] ** 0.5 if len(size) > 1 else 1.0) for size in sizes]
    norms = [torch.randn(channels) for _ in range(4)]
    tokens = torch.randn(groups, frames, pixels, channels).to(dtype)
    audio = [] if mode == "visual" else [torch.randn(groups, frames, channels)]
    mask = torch.ones(groups, frames, dtype=torch.bool, device=device)
    mask[-1, 0] = False
    return [leaf.to(device, torch.float64) for leaf in (tokens, *audio, *weights, *norms)], mask


def run(
    form, leaves: list[Tensor], mode: str, mask: Tensor, running: tuple[Tensor, Tensor] | None
) -> tuple[list[Tensor], Statistics | None]:
    """Values, and the slope of every leaf."""
    leaves = [leaf.detach().clone().requires_grad_() for leaf in leaves]
    audio = None if mode == "visual" else leaves[1]
    weights, norms = AttentionWeights(*leaves[-12:-4]), NormWeights(*leaves[-4:], layer_eps=1e-3)
    values, statistics = form(leaves[0], audio, weights, norms, mode, mask, running, lambda total: total)
    direction = torch.sin(torch.arange(values.numel(), dtype=torch.float64)).view_as(values).to(values)
    return [values, *torch.autograd.grad(values, leaves, direction)], statistics


def compare(shape: tuple[int, int, int, int], mode: str, dtype: torch.dtype, device: torch.device, batch: bool) -> None:
    """Some slopes are exactly 0 (z's bias before a batch norm), so errors count from 1 where a slope is small."""
    leaves, mask = inputs(shape, mode, dtype, device)
    mean, var = torch.randn(shape[3], device=device), torch.rand(shape[3], device=device) + 0.5
    running = None if batch else (mean, var)
    expected, truth = run(av_attention_block_reference, leaves, mode, mask, running)
    narrow = [leaves[0].to(dtype), *(leaf.float() for leaf in leaves[1:])]
    found, statistics = run(av_attention_block_fused, narrow, mode, mask, running)
    allowed = {torch.float32: 2e-5, torch.float16: 1e-2, torch.bfloat16: 8e-2}[dtype]
    assert found[0].dtype == dtype and not found[0][-1, 0].any()
    if batch:
        assert statistics is not None and truth is not None
        found, expected = [*found, *statistics], [*expected, *truth]
    for ours, theirs in zip(found, expected, strict=True):
        assert (ours - theirs).abs().max() <= allowed * theirs.abs().max().clamp(min=1.0)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("mode", MODES)
def test_values_and_all_slopes_with_the_batch_s_statistics(mode: str, dtype: torch.dtype, device: torch.device) -> None:
    compare((2, 3, 7, 64), mode, dtype, device, batch=True)


@pytest.mark.parametrize("mode", MODES)
def test_values_and_all_slopes_with_running_statistics(mode: str, device: torch.device) -> None:
    compare((2, 2, 11, 64), mode, torch.float32, device, batch=False)


def test_more_channels_than_a_tile(device: torch.device) -> None:
    compare((2, 3, 5, 256), "dot", torch.float32, device, batch=True)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", [(2, 5, 784, 256), (1, 2, 200, 512)])
def test_many_tiles_a_program(shape: tuple[int, int, int, int], dtype: torch.dtype, device: torch.device) -> None:
    if device.type == "cpu":
        pytest.skip("minutes in the interpreter")
    compare(shape, "dot", dtype, device, batch=True)


@pytest.mark.parametrize("mode", MODES)
def test_a_mask_that_is_not_contiguous(mode: str, device: torch.device) -> None:
    leaves, mask = inputs((2, 3, 7, 64), mode, torch.float32, device)
    leaves, strided = [leaf.float() for leaf in leaves], mask.T.contiguous().T
    assert not strided.is_contiguous()
    found, expected = (run(av_attention_block_fused, leaves, mode, one, None)[0] for one in (strided, mask))
    assert all(ours.equal(theirs) for ours, theirs in zip(found, expected, strict=True))


@pytest.mark.parametrize("mode", MODES)
def test_a_group_that_nobody_is_in_and_channels_first_maps(mode: str, device: torch.device) -> None:
    leaves, mask = inputs((2, 3, 5, 64), mode, torch.float32, device)
    mask[0] = False
    expected, _ = run(av_attention_block_reference, leaves, mode, mask, None)
    leaves = [leaf.float() for leaf in leaves]
    leaves[0] = leaves[0].permute(3, 2, 1, 0).contiguous().permute(3, 2, 1, 0)
    found, _ = run(av_attention_block_fused, leaves, mode, mask, None)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.isfinite().all()
        assert (ours - theirs).abs().max() <= 2e-5 * theirs.abs().max().clamp(min=1.0)


@pytest.mark.parametrize("mode", MODES)
def test_no_groups(mode: str, device: torch.device) -> None:
    leaves, mask = inputs((1, 2, 5, 64), mode, torch.float32, device)
    few = 1 if mode == "visual" else 2
    leaves = [leaf[:0] if place < few else leaf for place, leaf in enumerate(leaves)]
    running = (torch.zeros(64, device=device), torch.ones(64, device=device))
    results, _ = run(av_attention_block_fused, [leaf.float() for leaf in leaves], mode, mask[:0], running)
    assert results[0].shape == (0, 2, 5, 64)
    assert not any(slope.any() for slope in results[1:])


def test_rows_far_from_the_origin_keep_their_digits(device: torch.device) -> None:
    """Rounding A to 11 bits would move the mean row by 100 times what it moves the others."""
    leaves, mask = inputs((1, 2, 37, 64), "dot", torch.float16, device)
    leaves[0] = (leaves[0] + 100).half().double()
    expected, _ = run(av_attention_block_reference, leaves, "dot", mask, None)
    narrow = [leaves[0].half(), *(leaf.float() for leaf in leaves[1:])]
    found, _ = run(av_attention_block_fused, narrow, "dot", mask, None)
    assert (found[0] - expected[0]).abs().max() <= 1e-2 * expected[0].abs().max()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("autocast", [False, True])
@torch._functorch.config.patch(backward_pass_autocast="off")  # as in eager mode; see `av_attention_block`
def test_it_compiles_whole(mode: str, autocast: bool, device: torch.device) -> None:
    leaves, mask = inputs((1, 3, 5, 64), mode, torch.float32, device)
    leaves = [leaf.float() for leaf in leaves]
    compiled = torch.compile(av_attention_block, backend="aot_eager", fullgraph=True)

    def form(tokens, audio, weights, norms, mode, mask, running, reduce):  # type: ignore[no-untyped-def]
        with torch.autocast(device.type, torch.bfloat16, enabled=autocast):
            return compiled(tokens, audio, weights, norms, mode=mode, mask=mask, running=running, reduce=reduce)

    found, _ = run(form, leaves, mode, mask, None)
    expected, _ = run(av_attention_block_fused, leaves, mode, mask, None)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
