"""The passes over the map of audio-visual attention that Triton runs, and how they are launched.

Letters: G groups of N = T P rows of C channels; K columns of a left factor, C itself in the dot-product modes.
Rounding: products take operands of the map's type, with float32 sums; float32 ones as they are, or as tf32 where torch
may (`torch.set_float32_matmul_precision`). Every sum has a fixed order.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from cavs_kernels.dispatch import interpreting, launching
from cavs_kernels.variant import Variant, architecture, has_tf32

STEP = 32
COLUMNS = 64
CHANNELS = (64, 128, 256, 512)


@triton.jit
def _dot(a, b, sums, PRECISION: tl.constexpr):
    """Return sums + a b. The interpreter multiplies bfloat16 wrongly, so it never sees any."""
    if PRECISION == "interpreted":
        return tl.dot(a.to(tl.float32), b.to(tl.float32), sums, input_precision="ieee")
    return tl.dot(a, b, sums, input_precision=PRECISION)


@triton.jit
def _rows_before_norm(
    left, x, matrix, offset, o_row, m_row, o_c, num_k, C: tl.constexpr, BM: tl.constexpr, BK: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """Return v = x + left matrix + offset [BM, C] in float32 for rows `o_row` of one group."""
    o_k = tl.arange(0, BK)
    p_left = left + o_row[:, None] * (num_k * BK) + o_k[None, :]
    p_matrix = matrix + o_k[:, None] * C + o_c[None, :]
    sums = tl.zeros((BM, C), dtype=tl.float32)
    for _ in range(num_k):
        b_left = tl.load(p_left, mask=m_row[:, None], other=0.0)
        sums = _dot(b_left, tl.load(p_matrix), sums, PRECISION)
        p_left += BK
        p_matrix += BK * C
    b_x = tl.load(x + o_row[:, None] * C + o_c[None, :], mask=m_row[:, None], other=0.0)
    return sums + tl.load(offset + o_c)[None, :] + b_x.to(tl.float32)


@triton.jit(do_not_specialize=["num_rows", "num_pixels", "num_frames", "num_k"])
def tail_forward(
    left, x, matrix, offset, visible, layer_w, layer_b, z, num_rows, num_pixels, num_frames, num_k, eps,
    C: tl.constexpr, BM: tl.constexpr, BK: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """z = LayerNorm(x + left matrix + offset) on visible frames, else 0; one program: BM rows of a group, all of C."""
    i_group = tl.program_id(1).to(tl.int64)
    o_row = tl.program_id(0) * BM + tl.arange(0, BM)
    m_row = o_row < num_rows
    b_visible = tl.load(visible + i_group * num_frames + o_row // num_pixels, mask=m_row, other=0)
    o_row = o_row.to(tl.int64) + i_group * num_rows
    o_c = tl.arange(0, C)
    b_v = _rows_before_norm(
        left, x, matrix + i_group * num_k * BK * C, offset + i_group * C, o_row, m_row, o_c, num_k, C, BM, BK,
        PRECISION,
    )  # fmt: skip
    b_v -= (tl.sum(b_v, axis=1) / C)[:, None]
    b_inverse = tl.rsqrt(tl.sum(b_v * b_v, axis=1) / C + eps)
    b_z = b_v * b_inverse[:, None] * tl.load(layer_w + o_c)[None, :] + tl.load(layer_b + o_c)[None, :]
    b_z = tl.where((b_visible != 0)[:, None], b_z, 0.0)
    tl.store(z + o_row[:, None] * C + o_c[None, :], b_z.to(z.dtype.element_ty), mask=m_row[:, None])


@triton.jit(do_not_specialize=["num_rows", "num_pixels", "num_frames", "num_k"])
def tail_backward(
    d_z, left, x, matrix, offset, visible, layer_w, d_v, partials, num_rows, num_pixels, num_frames, num_k, eps,
    C: tl.constexpr, BM: tl.constexpr, BK: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """d_v from d_z, v recomputed; one program: every num_programs-th tile of a group.

    partials [G, programs, 3, C]: its sums over rows of d_z v^ (layer_w), d_z (layer_b) and d_v (offset).
    """
    i_group = tl.program_id(1).to(tl.int64)
    o_c = tl.arange(0, C)
    b_weight = tl.load(layer_w + o_c)[None, :]
    s_weight = tl.zeros((C,), dtype=tl.float32)
    s_bias = tl.zeros((C,), dtype=tl.float32)
    s_offset = tl.zeros((C,), dtype=tl.float32)
    for i_tile in range(tl.program_id(0), tl.cdiv(num_rows, BM), tl.num_programs(0)):
        o_row = i_tile * BM + tl.arange(0, BM)
        m_row = o_row < num_rows
        b_visible = tl.load(visible + i_group * num_frames + o_row // num_pixels, mask=m_row, other=0)
        o_row = o_row.to(tl.int64) + i_group * num_rows
        b_v = _rows_before_norm(
            left, x, matrix + i_group * num_k * BK * C, offset + i_group * C, o_row, m_row, o_c, num_k, C, BM, BK,
            PRECISION,
        )  # fmt: skip
        b_v -= (tl.sum(b_v, axis=1) / C)[:, None]
        b_inverse = tl.rsqrt(tl.sum(b_v * b_v, axis=1) / C + eps)[:, None]
        b_v *= b_inverse
        m_seen = (b_visible != 0)[:, None]
        b_d = tl.load(d_z + o_row[:, None] * C + o_c[None, :], mask=m_seen, other=0.0).to(tl.float32)
        s_weight += tl.sum(b_d * b_v, axis=0)
        s_bias += tl.sum(b_d, axis=0)
        b_d *= b_weight
        b_along = tl.sum(b_d * b_v, axis=1) / C
        b_d = (b_d - (tl.sum(b_d, axis=1) / C)[:, None] - b_v * b_along[:, None]) * b_inverse
        s_offset += tl.sum(b_d, axis=0)
        tl.store(d_v + o_row[:, None] * C + o_c[None, :], b_d.to(d_v.dtype.element_ty), mask=m_row[:, None])
    o_part = partials + (i_group * tl.num_programs(0) + tl.program_id(0)) * 3 * C + o_c
    tl.store(o_part, s_weight)
    tl.store(o_part + C, s_bias)
    tl.store(o_part + 2 * C, s_offset)


@triton.jit(do_not_specialize=["num_pixels", "num_frames", "num_splits", "num_slots", "width_a", "width_b"])
def row_products(
    a, b, means, slot_of, sums, num_pixels, num_frames, num_splits, num_slots, width_a, width_b,
    BN: tl.constexpr, BK: tl.constexpr, MOMENT: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """sums [splits, G, slots, KA, KB] = a^T b over the frames of a slot; one program: a BN x BN tile of one of them.

    MOMENT: a is b, each frame centred on its mean, and the tiles below the diagonal are the mirror of those above.
    width_a, width_b: KA / 32 and KB / 32, so that the compiler knows that rows are aligned.
    """
    width_a = width_a * 32
    width_b = width_b * 32
    num_tiles = tl.cdiv(width_b, BN)
    i_a = tl.program_id(0) // num_tiles
    i_b = tl.program_id(0) % num_tiles
    if MOMENT and i_a > i_b:
        return
    i_out = tl.program_id(1)
    i_split = i_out % num_splits
    i_slot = i_out // num_splits % num_slots
    i_group = i_out // (num_splits * num_slots)
    o_a = i_a * BN + tl.arange(0, BN)
    o_b = i_b * BN + tl.arange(0, BN)
    m_a = o_a < width_a
    m_b = o_b < width_b
    o_k = tl.arange(0, BK)
    total = tl.zeros((BN, BN), dtype=tl.float32)
    for i in range(num_frames):
        i_frame = i_group.to(tl.int64) * num_frames + i
        num_blocks = tl.cdiv(num_pixels, BK)
        if num_slots > 1:
            num_blocks = tl.where(tl.load(slot_of + i_frame) == i_slot, num_blocks, 0)
        if MOMENT:
            b_mean_a = tl.load(means + i_frame * width_a + o_a, mask=m_a, other=0.0)
            b_mean_b = tl.load(means + i_frame * width_b + o_b, mask=m_b, other=0.0)
        for i_block in range(i_split, num_blocks, num_splits):
            o_pixel = i_block * BK + o_k
            m_pixel = (o_pixel < num_pixels)[:, None]
            o_row = (i_frame * num_pixels + o_pixel)[:, None]
            b_a = tl.load(a + o_row * width_a + o_a[None, :], mask=m_pixel & m_a[None, :], other=0.0)
            b_b = tl.load(b + o_row * width_b + o_b[None, :], mask=m_pixel & m_b[None, :], other=0.0)
            if MOMENT:
                b_a = tl.where(m_pixel, b_a.to(tl.float32) - b_mean_a[None, :], 0.0).to(a.dtype.element_ty)
                b_b = tl.where(m_pixel, b_b.to(tl.float32) - b_mean_b[None, :], 0.0).to(b.dtype.element_ty)
            total = _dot(tl.trans(b_a), b_b, total, PRECISION)
    num_groups = tl.num_programs(1) // (num_splits * num_slots)
    o_out = ((i_split * num_groups + i_group) * num_slots + i_slot).to(tl.int64) * width_a * width_b
    tl.store(sums + o_out + o_a[:, None] * width_b + o_b[None, :], total, mask=m_a[:, None] & m_b[None, :])
    if MOMENT and i_a < i_b:
        tl.store(sums + o_out + o_b[None, :] * width_b + o_a[:, None], total, mask=m_a[:, None] & m_b[None, :])


@triton.jit(do_not_specialize=["num_pixels", "num_frames", "num_slots", "width"])
def add_product(
    base, x, means, matrix, scale, shift, slot_of, out, num_pixels, num_frames, num_slots, width,
    BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """out = base + scale (x - mean) matrix + shift; one program: BM rows of a frame, BN columns.

    matrix [G, slots, C, C], scale [G, slots], means and shift [G T, C]; the frame's slot chooses matrix and scale.
    width: C / 32, so that the compiler knows that rows are aligned.
    """
    width = width * 32
    i_frame = tl.program_id(2).to(tl.int64)
    i_matrix = i_frame // num_frames * num_slots
    if num_slots > 1:
        i_matrix += tl.load(slot_of + i_frame)
    o_row = tl.program_id(0) * BM + tl.arange(0, BM)
    m_row = (o_row < num_pixels)[:, None]
    o_row = (o_row.to(tl.int64) + i_frame * num_pixels)[:, None] * width
    o_n = tl.program_id(1) * BN + tl.arange(0, BN)
    total = tl.zeros((BM, BN), dtype=tl.float32)
    for i_k in range(0, width, BK):
        o_k = i_k + tl.arange(0, BK)
        b_x = tl.load(x + o_row + o_k[None, :], mask=m_row, other=0.0)
        b_mean = tl.load(means + i_frame * width + o_k)[None, :]
        b_x = (b_x.to(tl.float32) - b_mean).to(x.dtype.element_ty)
        b_matrix = tl.load(matrix + (i_matrix * width + o_k[:, None]) * width + o_n[None, :])
        total = _dot(b_x, b_matrix, total, PRECISION)
    total = total * tl.load(scale + i_matrix) + tl.load(shift + i_frame * width + o_n)[None, :]
    total += tl.load(base + o_row + o_n[None, :], mask=m_row, other=0.0).to(tl.float32)
    tl.store(out + o_row + o_n[None, :], total.to(out.dtype.element_ty), mask=m_row)


class Shape(NamedTuple):
    """How a kernel is launched: rows (or the side) of a program's tile, depth of its products' steps, warps, stages."""

    rows: int
    depth: int
    warps: int
    stages: int


def tail_shape(name: str, channels: int, wide: bool, *, backwards: bool) -> Shape:
    """Return the shape of a tail kernel on architecture `name`: the tallest without spills. wide: float32."""
    rows = {64: 32, 128: 32, 256: 16, 512: 16} if wide else {64: 128, 128: 64, 256: 64, 512: 32}
    tall = rows[channels]
    if backwards:  # it keeps v, d_z and three sums
        tall = 16 if wide or (channels == 128 and name.startswith("gfx")) else tall // 2
    stages = 1 if name.startswith("gfx") or (wide and backwards and channels == 512) else 2
    return Shape(tall, 16 if wide else STEP, 4 if channels == 64 else 8, stages)


def product_shape(name: str, side: int, wide: bool) -> Shape:
    """Return the shape of `row_products`, in tiles of 128 x 128 or, where `side` is less, 64 x 64; or `add_product`."""
    stages = 1 if name.startswith("gfx") or wide else 3
    rows = 128 if side >= 128 else 64
    return Shape(rows, 16 if wide else STEP, 8 if wide or rows == 128 else 4, stages)


@torch.library.custom_op("cavs_kernels::attention_tail", mutates_args=())
def tail(
    left: Tensor, x: Tensor, matrix: Tensor, offset: Tensor, visible: Tensor, layer_w: Tensor, layer_b: Tensor,
    eps: float,
) -> Tensor:  # fmt: skip
    """Run `tail_forward`: x [G, T, P, C], left [G, T, P, K], matrix [G, K, C] of their type, offset [G, C] float32."""
    z = torch.empty_like(x)
    groups, frames, pixels, channels = x.shape
    shape = tail_shape(architecture(x.device), channels, x.dtype == torch.float32, backwards=False)
    if x.numel():
        with launching(x):
            tail_forward[(triton.cdiv(frames * pixels, shape.rows), groups)](
                left, x, matrix, offset, visible, layer_w, layer_b, z, frames * pixels, pixels, frames,
                left.shape[3] // shape.depth, eps, channels, shape.rows, shape.depth, _precision(x),
                num_warps=shape.warps, num_stages=shape.stages,
            )  # fmt: skip
    return z


@tail.register_fake
def _(left: Tensor, x: Tensor, *_: object) -> Tensor:
    return torch.empty_like(x)


@torch.library.custom_op("cavs_kernels::attention_tail_slopes", mutates_args=())
def tail_slopes(
    d_z: Tensor, left: Tensor, x: Tensor, matrix: Tensor, offset: Tensor, visible: Tensor, layer_w: Tensor, eps: float
) -> tuple[Tensor, Tensor]:
    """Run `tail_backward`: return d_v and the sums [G, 3, C] of its programs."""
    groups, frames, pixels, channels = x.shape
    d_v = torch.empty_like(x)
    if not x.numel():
        return d_v, offset.new_zeros(groups, 3, channels)
    shape = tail_shape(architecture(x.device), channels, x.dtype == torch.float32, backwards=True)
    programs = min(triton.cdiv(frames * pixels, shape.rows), triton.cdiv(2 * _processors(x.device), groups))
    partials = offset.new_empty(groups, programs, 3, channels)
    with launching(x):
        tail_backward[(programs, groups)](
            d_z, left, x, matrix, offset, visible, layer_w, d_v, partials, frames * pixels, pixels, frames,
            left.shape[3] // shape.depth, eps, channels, shape.rows, shape.depth, _precision(x),
            num_warps=shape.warps, num_stages=shape.stages,
        )  # fmt: skip
    return d_v, partials.sum(dim=1)


@tail_slopes.register_fake
def _(d_z: Tensor, left: Tensor, x: Tensor, matrix: Tensor, offset: Tensor, *_: object) -> tuple[Tensor, Tensor]:
    return torch.empty_like(x), offset.new_empty(len(x), 3, x.shape[3])


@torch.library.custom_op("cavs_kernels::attention_products", mutates_args=())
def products(a: Tensor, b: Tensor) -> Tensor:
    """Return a^T b summed over a group's rows, [G, KA, KB] float32; a: [G, T, P, KA], b: [G, T, P, KB]."""
    nothing = a.new_zeros(1, dtype=torch.float32)
    return _row_products(a, b, nothing, nothing.int(), 1, moment=False)[:, 0]


@products.register_fake
def _(a: Tensor, b: Tensor) -> Tensor:
    return b.new_empty(len(a), a.shape[3], b.shape[3], dtype=torch.float32)


@torch.library.custom_op("cavs_kernels::attention_moments", mutates_args=())
def moments(x: Tensor, means: Tensor, slot_of: Tensor, slots: int) -> Tensor:
    """Return the second moments [G, slots, C, C] of x centred on `means` [G, T, C]; `slot_of` [G, T] int32."""
    return _row_products(x, x, means, slot_of, slots, moment=True)


@moments.register_fake
def _(x: Tensor, means: Tensor, slot_of: Tensor, slots: int) -> Tensor:
    return means.new_empty(len(x), slots, x.shape[3], x.shape[3])


def _row_products(a: Tensor, b: Tensor, means: Tensor, slot_of: Tensor, slots: int, *, moment: bool) -> Tensor:
    groups, frames, pixels, width_b = b.shape
    width_a = a.shape[3]
    if not b.numel():
        return b.new_zeros(groups, slots, width_a, width_b, dtype=torch.float32)
    shape = product_shape(architecture(b.device), min(width_a, width_b), b.dtype == torch.float32)
    tiles = triton.cdiv(width_a, shape.rows) * triton.cdiv(width_b, shape.rows)
    splits = min(triton.cdiv(pixels, shape.depth), triton.cdiv(_processors(b.device), tiles * groups * slots))
    sums = means.new_empty(splits, groups, slots, width_a, width_b)
    with launching(b):
        row_products[(tiles, splits * groups * slots)](
            a, b, means, slot_of, sums, pixels, frames, splits, slots, width_a // STEP, width_b // STEP,
            shape.rows, shape.depth, moment, _precision(b), num_warps=shape.warps, num_stages=shape.stages,
        )  # fmt: skip
    return sums.sum(dim=0)


@torch.library.custom_op("cavs_kernels::attention_add_product", mutates_args=())
def added(
    base: Tensor, x: Tensor, means: Tensor, matrix: Tensor, scale: Tensor, shift: Tensor, slot_of: Tensor
) -> Tensor:
    """Return base + scale (x - means) matrix + shift; matrix [G, slots, C, C], scale [G, slots], shift [G, T, C]."""
    out = torch.empty_like(x)
    groups, frames, pixels, channels = x.shape
    shape = product_shape(architecture(x.device), 128, x.dtype == torch.float32)
    if x.numel():
        with launching(x):
            add_product[(triton.cdiv(pixels, shape.rows), channels // COLUMNS, groups * frames)](
                base, x, means, matrix, scale, shift, slot_of, out, pixels, frames, matrix.shape[1], channels // STEP,
                shape.rows, COLUMNS, shape.depth, _precision(x), num_warps=shape.warps, num_stages=shape.stages,
            )  # fmt: skip
    return out


@added.register_fake
def _(base: Tensor, x: Tensor, *_: object) -> Tensor:
    return torch.empty_like(x)


def _precision(values: Tensor) -> str:
    """Return how products of `values` are computed; torch's setting is the one that its own products follow."""
    if interpreting():
        return "interpreted"
    wide = values.dtype == torch.float32
    return "tf32" if wide and has_tf32(values.device) and torch.get_float32_matmul_precision() != "highest" else "ieee"


def _processors(device: torch.device) -> int:
    """How many programs fill the device; 4 where they are interpreted, one after the other."""
    return torch.cuda.get_device_properties(device).multi_processor_count if device.type == "cuda" else 4


def variants(architecture: str) -> Iterator[Variant]:
    """Yield every compilation that ships for `architecture`."""
    for dtype, precision in (("fp32", "ieee"), ("fp32", "tf32"), ("bf16", "ieee"), ("fp16", "ieee")):
        if precision == "tf32" and architecture.startswith("gfx"):
            continue
        make = partial(_variant, dtype, precision)
        for channels in CHANNELS:
            for kernel, backwards in ((tail_forward, False), (tail_backward, True)):
                shape = tail_shape(architecture, channels, dtype == "fp32", backwards=backwards)
                yield make(kernel, f"C {channels}", shape, {"C": channels, "BM": shape.rows})
        for side in (64, 128):
            shape = product_shape(architecture, side, dtype == "fp32")
            for moment in (False, True):
                of = f"tile {shape.rows}{' moment' if moment else ''}"
                yield make(row_products, of, shape, {"BN": shape.rows, "MOMENT": moment})
        shape = product_shape(architecture, 128, dtype == "fp32")
        yield make(add_product, "", shape, {"BM": shape.rows, "BN": COLUMNS})


OF_THE_MAP = ("left", "x", "matrix", "z", "d_z", "d_v", "a", "b", "base", "out")
TYPES = {"visible": "*i1", "slot_of": "*i32", "eps": "fp32"}


def _variant(
    dtype: str, precision: str, kernel: Any, of: str, shape: Shape, constants: dict[str, int | bool | str]
) -> Variant:
    constants = {**constants, "BK": shape.depth, "PRECISION": precision}
    types = {}
    for argument in kernel.arg_names:
        if argument not in constants:
            size = argument.startswith(("num_", "width"))
            types[argument] = TYPES.get(argument, f"*{dtype}" if argument in OF_THE_MAP else "i32" if size else "*fp32")
    name = f"{kernel.__name__} {'tf32' if precision == 'tf32' else dtype} {of}".rstrip()
    return Variant(name, kernel, types, constants, shape.warps, shape.stages)
