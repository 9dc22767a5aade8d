import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from cavs_kernels.av_attention import kernel

pytestmark = pytest.mark.kernel

TYPES = [torch.float32, torch.float16, torch.bfloat16]
# Groups, frames, pixels, channels: pixels below, above and across blocks; a group that ends inside a tile.
SHAPES = [(2, 3, 7, 64), (1, 2, 37, 64), (1, 1, 17, 128)]


def close(found: Tensor, expected: Tensor, dtype: torch.dtype) -> None:
    """Compare with float64 by the largest value: a sum's error goes with its terms."""
    allowed = {torch.float32: 2e-6, torch.float16: 2e-3, torch.bfloat16: 1.5e-2}[dtype]
    assert found.shape == expected.shape
    assert (found.double() - expected).abs().max() <= allowed * expected.abs().max().clamp(min=1e-30)


def random(*shape: int, dtype: torch.dtype, device: torch.device, seed: int = 0) -> Tensor:
    if device.type == "cpu" and dtype == torch.bfloat16:
        pytest.skip("the interpreter multiplies bfloat16 wrongly")
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed + sum(shape))).to(device, dtype)


def tail_inputs(
    shape: tuple[int, int, int, int], width: int, dtype: torch.dtype, device: torch.device
) -> tuple[list[Tensor], Tensor]:
    """left, x, matrix, offset, layer_w, layer_b; and a mask with a gap."""
    groups, frames, _, channels = shape
    x = random(*shape, dtype=dtype, device=device)
    left = x if width == channels else random(*shape[:3], width, dtype=dtype, device=device)
    matrix = random(groups, width, channels, dtype=dtype, device=device) / width**0.5
    vectors = [random(*size, dtype=torch.float32, device=device) for size in ((groups, channels), (channels,))]
    visible = torch.ones(groups, frames, dtype=torch.bool, device=device)
    visible[-1, 0] = frames == 1
    return [left, x, matrix, *vectors, vectors[1].flip(0)], visible


def tail_formula(left: Tensor, x: Tensor, matrix: Tensor, offset: Tensor, w: Tensor, b: Tensor, seen: Tensor) -> Tensor:
    v = x + torch.einsum("gtpk,gkc->gtpc", left, matrix) + offset[:, None, None]
    return F.layer_norm(v, v.shape[-1:], w, b, 1e-5) * seen[..., None, None]


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_the_tail_is_its_formula(shape: tuple[int, int, int, int], dtype: torch.dtype, device: torch.device) -> None:
    for width in {32, shape[3]}:
        inputs, visible = tail_inputs(shape, width, dtype, device)
        left, x, matrix, offset, w, b = inputs
        found = kernel.tail(left, x, matrix, offset, visible, w, b, 1e-5)
        close(found, tail_formula(*(each.double() for each in inputs), visible), dtype)
        assert found.dtype == dtype


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_slopes_of_the_tail(shape: tuple[int, int, int, int], dtype: torch.dtype, device: torch.device) -> None:
    inputs, visible = tail_inputs(shape, 32, dtype, device)
    left, x, matrix, offset, w, _ = inputs
    d_z = random(*shape, dtype=dtype, device=device, seed=1)
    d_v, sums = kernel.tail_slopes(d_z, left, x, matrix, offset, visible, w, 1e-5)
    leaves = [each.double().requires_grad_() for each in inputs]
    truth = torch.autograd.grad(tail_formula(*leaves, visible), leaves, d_z.double())
    close(d_v, truth[1], dtype)
    for place, expected in enumerate((truth[4], truth[5], truth[3])):
        total = sums[:, place].sum(dim=0) if place < 2 else sums[:, place]
        close(total, expected, torch.float32 if dtype == torch.float32 else torch.float16)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(("shape", "width"), [((2, 3, 7, 64), 64), ((1, 2, 37, 64), 32), ((1, 1, 5, 256), 256)])
def test_products_of_rows(
    shape: tuple[int, int, int, int], width: int, dtype: torch.dtype, device: torch.device
) -> None:
    a = random(*shape[:3], width, dtype=dtype, device=device)
    b = random(*shape, dtype=dtype, device=device, seed=1)
    close(kernel.products(a, b), torch.einsum("gtpa,gtpb->gab", a.double(), b.double()), torch.float32)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", [(2, 3, 7, 64), (1, 2, 37, 64), (1, 1, 5, 256)])
def test_moments_are_centred_and_kept_by_slot(
    shape: tuple[int, int, int, int], dtype: torch.dtype, device: torch.device
) -> None:
    x = random(*shape, dtype=dtype, device=device) + 10
    means = x.mean(dim=2, dtype=torch.float32)
    slot_of = (torch.arange(shape[0] * shape[1], device=device) % 2).view(shape[:2]).int()
    apart = x.double() - means[:, :, None].double()
    by_frame = torch.einsum("gtpa,gtpb->gtab", apart, apart)
    found = kernel.moments(x, means, slot_of, 2)
    for slot in (0, 1):
        expected = (by_frame * (slot_of == slot)[..., None, None]).sum(dim=1)
        close(found[:, slot], expected, dtype)
    close(kernel.moments(x, means, slot_of, 1)[:, 0], by_frame.sum(dim=1), dtype)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", [(2, 3, 7, 64), (1, 1, 67, 64), (1, 1, 5, 256)])
def test_products_are_added(shape: tuple[int, int, int, int], dtype: torch.dtype, device: torch.device) -> None:
    groups, frames, _, channels = shape
    base, x = (random(*shape, dtype=dtype, device=device, seed=seed) for seed in (0, 1))
    matrix = random(groups, 2, channels, channels, dtype=dtype, device=device) / channels**0.5
    means = x.mean(dim=2, dtype=torch.float32)
    scale = torch.tensor([[0.5, 2.0]], device=device).repeat(groups, 1)
    shift = random(groups, frames, channels, dtype=torch.float32, device=device)
    slot_of = (torch.arange(groups * frames, device=device) % 2).view(groups, frames).int()
    chosen = (matrix.double() * scale[..., None, None])[torch.arange(groups)[:, None], slot_of.long()]
    product = torch.einsum("gtpk,gtkc->gtpc", x.double() - means[:, :, None], chosen)
    found = kernel.added(base, x, means, matrix, scale, shift, slot_of)
    close(found, base.double() + product + shift[:, :, None], dtype)


def test_no_rows_no_kernel(device: torch.device) -> None:
    x = torch.zeros(0, 3, 4, 64, device=device)
    matrix, vector = torch.zeros(0, 64, 64, device=device), torch.zeros(0, 64, device=device)
    visible, weight = torch.ones(0, 3, dtype=torch.bool, device=device), torch.ones(64, device=device)
    assert kernel.tail(x, x, matrix, vector, visible, weight, weight, 1e-5).shape == x.shape
    d_v, sums = kernel.tail_slopes(x, x, x, matrix, vector, visible, weight, 1e-5)
    assert d_v.shape == x.shape and sums.shape == (0, 3, 64)
    assert kernel.products(x, x).shape == (0, 64, 64)
    means, scale = x.mean(dim=2), torch.ones(0, 1, device=device)
    assert kernel.added(x, x, means, matrix[:, None], scale, means, visible.int()).shape == x.shape


@pytest.mark.parametrize("name", ["sm_80", "sm_90", "sm_100", "gfx942"])
def test_variants_name_every_argument(name: str) -> None:
    variants = list(kernel.variants(name))
    assert len({variant.name for variant in variants}) == len(variants)
    for variant in variants:
        assert {*variant.types, *variant.constants} == set(variant.kernel.arg_names)
