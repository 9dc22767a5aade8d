"""Triton kernels of the segmentation losses: one sweep over class tiles forward, two backward.

Letters: P = H W pixels of a frame, D channels, K classes, K_old of them the teacher's; z the student's logits and q
their softmax, t and p the teacher's. A pixel keeps a few log-sum-exps, and no logits. With half-precision features,
products are three TF32 ones (float32's accuracy on tensor cores); with float32 they are IEEE ones.
"""

import math
from collections.abc import Iterator
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from cavs_kernels.dispatch import launching
from cavs_kernels.head import Head
from cavs_kernels.segmentation_loss.reference import Rules, accepted_share
from cavs_kernels.variant import Variant, architecture, has_tf32


@triton.jit
def _load_tile(base, o_p, o_d, m_p, D, stride_d, stride_p):
    offsets = o_p[:, None].to(tl.int64) * stride_p + o_d[None, :].to(tl.int64) * stride_d
    return tl.load(base + offsets, mask=m_p[:, None] & (o_d < D)[None, :], other=0.0).to(tl.float32)


@triton.jit
def _load_rows(weight, bias, o_k, o_d, K, D):
    """Classifier rows [BK, BD] and their biases; -inf beyond the last class, so that its probability is 0."""
    m_k = o_k < K
    b_w = tl.load(weight + o_k[:, None] * D + o_d[None, :], mask=m_k[:, None] & (o_d < D)[None, :], other=0.0)
    return b_w, tl.load(bias + o_k, mask=m_k, other=float("-inf"))


@triton.jit
def _logits_of(b_x, weight, bias, b_k, o_d, m_k, D):
    """One logit a pixel: class b_k [BP] of each."""
    m_w = m_k[:, None] & (o_d < D)[None, :]
    b_w = tl.load(weight + b_k[:, None] * D + o_d[None, :], mask=m_w, other=0.0)
    return tl.sum(b_x * b_w, axis=1) + tl.load(bias + b_k, mask=m_k, other=0.0)


@triton.jit
def _add_exp(b_a, b_b):
    """log(exp a + exp b); a is finite."""
    b_m = tl.maximum(b_a, b_b)
    return b_m + tl.log(tl.exp(b_a - b_m) + tl.exp(b_b - b_m))


@triton.jit
def _shift(b_from, b_to):
    """How far a running maximum has moved, from - to; 0 for the first tile, where nothing is there to be moved."""
    return tl.where(b_from == float("-inf"), 0.0, b_from - b_to)


@triton.jit
def forward_kernel(
    features, weight, bias, labels, old_features, old_weight, old_bias, thresholds, guesses, hides,
    sums, final, kept,
    P, D, D_old, K, K_old, tiles, distill,
    stride_n, stride_d, stride_p, stride_ln, stride_lp, stride_on, stride_od, stride_op, stride_kept, entropy_scale,
    TEACHER: tl.constexpr, PRECISION: tl.constexpr, BP: tl.constexpr, BK: tl.constexpr, BD: tl.constexpr,
    BD_OLD: tl.constexpr,
):  # fmt: skip
    """Sums of one tile of pixels (cross-entropy, distillation, accepted, background), their labels and log-sum-exps."""
    i_program = tl.program_id(0)
    i_n = (i_program // tiles).to(tl.int64)
    o_p = (i_program % tiles) * BP + tl.arange(0, BP)
    m_p = o_p < P
    o_d = tl.arange(0, BD)
    o_od = tl.arange(0, BD_OLD)
    b_x = _load_tile(features + i_n * stride_n, o_p, o_d, m_p, D, stride_d, stride_p)
    b_label = tl.load(labels + i_n * stride_ln + o_p.to(tl.int64) * stride_lp, mask=m_p, other=255).to(tl.int32)
    b_m = tl.full([BP], float("-inf"), tl.float32)
    b_s = tl.zeros([BP], tl.float32)
    if TEACHER:
        b_y = _load_tile(old_features + i_n * stride_on, o_p, o_od, m_p, D_old, stride_od, stride_op)
        b_mt = tl.full([BP], float("-inf"), tl.float32)
        b_st = tl.zeros([BP], tl.float32)
        b_pt = tl.zeros([BP], tl.float32)  # sum of exp(t - mt) (t - mt)
        b_pz = tl.zeros([BP], tl.float32)  # sum of exp(t - mt) (z - m)
        b_guess = tl.zeros([BP], tl.int32)
    for k in range(0, K_old, BK):
        o_k = k + tl.arange(0, BK)
        b_w, b_b = _load_rows(weight, bias, o_k, o_d, K_old, D)
        b_z = tl.dot(b_x, tl.trans(b_w), input_precision=PRECISION) + b_b[None, :]
        b_next = tl.maximum(b_m, tl.max(b_z, axis=1))
        b_gap = _shift(b_m, b_next)
        b_s = b_s * tl.exp(b_gap) + tl.sum(tl.exp(b_z - b_next[:, None]), axis=1)
        if TEACHER:
            b_w, b_b = _load_rows(old_weight, old_bias, o_k, o_od, K_old, D_old)
            b_t = tl.dot(b_y, tl.trans(b_w), input_precision=PRECISION) + b_b[None, :]
            b_most = tl.max(b_t, axis=1)
            b_guess = tl.where(b_most > b_mt, k + tl.argmax(b_t, axis=1), b_guess)
            b_next_t = tl.maximum(b_mt, b_most)
            b_gap_t = _shift(b_mt, b_next_t)
            b_scale = tl.exp(b_gap_t)
            b_t = tl.where((o_k < K_old)[None, :], b_t - b_next_t[:, None], -1e4)
            b_e = tl.exp(b_t)
            b_z = tl.where((o_k < K_old)[None, :], b_z - b_next[:, None], 0.0)
            b_pt = (b_pt + b_st * b_gap_t) * b_scale + tl.sum(b_e * b_t, axis=1)
            b_pz = (b_pz + b_st * b_gap) * b_scale + tl.sum(b_e * b_z, axis=1)
            b_st = b_st * b_scale + tl.sum(b_e, axis=1)
            b_mt = b_next_t
        b_m = b_next
    b_lse_old = b_m + tl.log(b_s)
    b_mn = tl.full([BP], float("-inf"), tl.float32)
    b_sn = tl.zeros([BP], tl.float32)
    for k in range(K_old, K, BK):
        b_w, b_b = _load_rows(weight, bias, k + tl.arange(0, BK), o_d, K, D)
        b_z = tl.dot(b_x, tl.trans(b_w), input_precision=PRECISION) + b_b[None, :]
        b_next = tl.maximum(b_mn, tl.max(b_z, axis=1))
        b_sn = b_sn * tl.exp(_shift(b_mn, b_next)) + tl.sum(tl.exp(b_z - b_next[:, None]), axis=1)
        b_mn = b_next
    b_lse_new = b_mn + tl.log(b_sn)
    b_lse = _add_exp(b_lse_old, b_lse_new)

    b_known = (b_label < K_old) & m_p
    if TEACHER:
        # log s with its maximum taken out: a sure teacher's entropy is found to float32's last digits.
        b_entropy = (tl.log(b_st) - b_pt / b_st) * entropy_scale
        b_entropy = tl.minimum(tl.maximum(b_entropy, 0.0), 1.0)
        b_sure = b_entropy < tl.load(thresholds + b_guess, mask=m_p, other=0.0)
        b_open = b_known & (tl.load(guesses + i_n) != 0)
        b_label = tl.where(b_open, tl.where(b_sure, b_guess, 255), b_label)
    b_scored = m_p & (b_label != 255)
    b_hidden = b_scored & (b_label == 0) & (tl.load(hides + i_n) != 0)
    m_k = b_scored & (b_label >= 0) & (b_label < K)
    b_named = _logits_of(b_x, weight, bias, b_label, o_d, m_k, D)
    b_loss = tl.where(b_scored, b_lse - tl.where(b_hidden, b_lse_old, b_named), 0.0)
    b_distill = tl.zeros([BP], tl.float32)
    o_kept = kept + i_n * P + o_p
    tl.store(o_kept, b_lse, mask=m_p)
    tl.store(o_kept + stride_kept, b_lse_old, mask=m_p)
    if TEACHER:
        b_lse_t = b_mt + tl.log(b_st)
        if distill > 0:
            tl.store(o_kept + 2 * stride_kept, b_lse_t, mask=m_p)
            b_distill = tl.log(b_s) - b_pz / b_st
        if distill == 2:
            b_zero = tl.zeros([BP], tl.int32)
            b_z0 = _logits_of(b_x, weight, bias, b_zero, o_d, m_p, D)
            b_p0 = tl.exp(_logits_of(b_y, old_weight, old_bias, b_zero, o_od, m_p, D_old) - b_lse_t)
            b_lse_bg = _add_exp(b_z0, b_lse_new)
            tl.store(o_kept + 3 * stride_kept, b_lse_bg, mask=m_p)
            tl.store(o_kept + 4 * stride_kept, b_p0, mask=m_p)
            b_distill += b_lse - b_lse_old - b_p0 * (b_lse_bg - b_z0)
    tl.store(final + i_n * P + o_p, b_label.to(tl.int32), mask=m_p)
    o_sums = sums + i_program.to(tl.int64) * 4
    tl.store(o_sums, tl.sum(b_loss, axis=0))
    tl.store(o_sums + 1, tl.sum(tl.where(m_p, b_distill, 0.0), axis=0) / K_old)
    tl.store(o_sums + 2, tl.sum((b_known & (b_label != 255)).to(tl.float32), axis=0))
    tl.store(o_sums + 3, tl.sum(b_known.to(tl.float32), axis=0))


@triton.jit
def _logit_gradients(
    b_x, b_y, weight, bias, old_weight, old_bias, final, kept, scales, hides, i_n, o_p, m_p, o_k, o_d, o_od,
    N, P, D, D_old, K, K_old, distill, stride_kept,
    DISTILL: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """The losses' gradients of the logits [BP, BK] of classes o_k, and these classes' rows [BK, BD]."""
    o_kept = kept + i_n * P + o_p
    b_w, b_b = _load_rows(weight, bias, o_k, o_d, K, D)
    b_z = tl.dot(b_x, tl.trans(b_w), input_precision=PRECISION) + b_b[None, :]
    b_old = (o_k < K_old)[None, :]
    b_label = tl.load(final + i_n * P + o_p, mask=m_p, other=255).to(tl.int32)
    b_scale = tl.where(m_p & (b_label != 255), tl.load(scales + i_n), 0.0)
    b_hidden = (b_label == 0) & (tl.load(hides + i_n) != 0)
    # Beyond the frame, sums of infinity make probabilities of 0.
    b_lse = tl.load(o_kept, mask=m_p, other=float("inf"))[:, None]
    b_q = tl.exp(b_z - b_lse)
    b_q_old = tl.exp(
        tl.where(b_old, b_z - tl.load(o_kept + stride_kept, mask=m_p, other=float("inf"))[:, None], float("-inf"))
    )
    b_named = (b_label[:, None] == o_k[None, :]).to(tl.float32)
    b_gradients = b_scale[:, None] * (b_q - tl.where(b_hidden[:, None], b_q_old, b_named))
    if DISTILL:
        b_v, b_c = _load_rows(old_weight, old_bias, o_k, o_od, K_old, D_old)
        b_t = tl.dot(b_y, tl.trans(b_v), input_precision=PRECISION) + b_c[None, :]
        b_p = tl.exp(b_t - tl.load(o_kept + 2 * stride_kept, mask=m_p, other=float("inf"))[:, None])
        b_q_kd = b_q_old
        if distill == 2:
            # The teacher's background stands for the student's and its new classes, in their proportions.
            m_bg = ((o_k == 0) | (o_k >= K_old))[None, :]
            b_lse_bg = tl.load(o_kept + 3 * stride_kept, mask=m_p, other=float("inf"))[:, None]
            b_p0 = tl.load(o_kept + 4 * stride_kept, mask=m_p, other=0.0)[:, None]
            b_p = tl.where(m_bg, b_p0 * tl.exp(tl.where(m_bg, b_z - b_lse_bg, float("-inf"))), b_p)
            b_q_kd = b_q
        b_gradients += tl.where(m_p, tl.load(scales + N + i_n), 0.0)[:, None] * (b_q_kd - b_p)
    return b_gradients, b_w


@triton.jit
def features_kernel(
    features, weight, bias, final, old_features, old_weight, old_bias, kept, scales, hides, d_features,
    N, P, D, D_old, K, K_old, tiles, distill,
    stride_n, stride_d, stride_p, stride_on, stride_od, stride_op, stride_dn, stride_dd, stride_dp, stride_kept,
    DISTILL: tl.constexpr, PRECISION: tl.constexpr, BP: tl.constexpr, BK: tl.constexpr, BD: tl.constexpr,
    BD_OLD: tl.constexpr,
):  # fmt: skip
    """The features' gradient of one tile of pixels."""
    i_program = tl.program_id(0)
    i_n = (i_program // tiles).to(tl.int64)
    o_p = (i_program % tiles) * BP + tl.arange(0, BP)
    m_p = o_p < P
    o_d = tl.arange(0, BD)
    o_od = tl.arange(0, BD_OLD)
    b_x = _load_tile(features + i_n * stride_n, o_p, o_d, m_p, D, stride_d, stride_p)
    b_y = b_x
    if DISTILL:
        b_y = _load_tile(old_features + i_n * stride_on, o_p, o_od, m_p, D_old, stride_od, stride_op)
    b_dx = tl.zeros([BP, BD], tl.float32)
    for k in range(0, K, BK):
        b_g, b_w = _logit_gradients(
            b_x, b_y, weight, bias, old_weight, old_bias, final, kept, scales, hides, i_n, o_p, m_p,
            k + tl.arange(0, BK), o_d, o_od, N, P, D, D_old, K, K_old, distill, stride_kept, DISTILL, PRECISION,
        )  # fmt: skip
        b_dx = tl.dot(b_g, b_w, b_dx, input_precision=PRECISION)
    o_out = o_p[:, None].to(tl.int64) * stride_dp + o_d[None, :].to(tl.int64) * stride_dd
    tl.store(d_features + i_n * stride_dn + o_out, b_dx, mask=m_p[:, None] & (o_d < D)[None, :])


@triton.jit
def weight_kernel(
    features, weight, bias, final, old_features, old_weight, old_bias, kept, scales, hides, d_weight, d_bias,
    N, P, D, D_old, K, K_old, tiles, distill, splits,
    stride_n, stride_d, stride_p, stride_on, stride_od, stride_op, stride_kept,
    DISTILL: tl.constexpr, PRECISION: tl.constexpr, BP: tl.constexpr, BK: tl.constexpr, BD: tl.constexpr,
    BD_OLD: tl.constexpr,
):  # fmt: skip
    """One part of the gradient of a tile of classifier rows: that of every `splits`-th tile of pixels."""
    i_split = tl.program_id(0)
    o_k = tl.program_id(1) * BK + tl.arange(0, BK)
    o_d = tl.arange(0, BD)
    o_od = tl.arange(0, BD_OLD)
    b_dw = tl.zeros([BK, BD], tl.float32)
    b_db = tl.zeros([BK], tl.float32)
    for i_tile in range(i_split, N * tiles, splits):
        i_n = (i_tile // tiles).to(tl.int64)
        o_p = (i_tile % tiles) * BP + tl.arange(0, BP)
        m_p = o_p < P
        b_x = _load_tile(features + i_n * stride_n, o_p, o_d, m_p, D, stride_d, stride_p)
        b_y = b_x
        if DISTILL:
            b_y = _load_tile(old_features + i_n * stride_on, o_p, o_od, m_p, D_old, stride_od, stride_op)
        b_g, _ = _logit_gradients(
            b_x, b_y, weight, bias, old_weight, old_bias, final, kept, scales, hides, i_n, o_p, m_p,
            o_k, o_d, o_od, N, P, D, D_old, K, K_old, distill, stride_kept, DISTILL, PRECISION,
        )  # fmt: skip
        b_dw = tl.dot(tl.trans(b_g), b_x, b_dw, input_precision=PRECISION)
        b_db += tl.sum(b_g, axis=0)
    o_w = (i_split * K + o_k).to(tl.int64)
    m_k = o_k < K
    tl.store(d_weight + o_w[:, None] * D + o_d[None, :], b_dw, mask=m_k[:, None] & (o_d < D)[None, :])
    tl.store(d_bias + o_w, b_db, mask=m_k)


# Pixels of a tile, classes of a tile, warps: as large as no variant spills with. By architecture.
TILES = {"sm_80": (32, 16, 2), "sm_100": (32, 16, 4), "default": (64, 16, 4)}
# Parts that the weights' gradient is summed up from: fixed, so that the order of summation is.
SPLITS = 128
STAGES = 2
CHANNELS_LAST = ("stride_d", "stride_od", "stride_dd")
# Of 32 channels and 224 x 224 pixels.
MULTIPLES = (
    "P", "D", "D_old", "tiles", "stride_n", "stride_p", "stride_on", "stride_op", "stride_dn", "stride_dp",
    "stride_kept",
)  # fmt: skip
KEPT = {"none": 2, "plain": 3, "unbiased": 5}
MODES = {"none": 0, "plain": 1, "unbiased": 2}


def kept_rows(distill: str) -> int:
    """Return how many numbers a pixel `forward` keeps beside its label."""
    return KEPT[distill]


def forward(student: Head, labels: Tensor, teacher: Head | None, rules: Rules) -> tuple[Tensor, Tensor, Tensor]:
    """Return the terms [3, N], the labels that were scored [N, H, W] int32, and each pixel's log-sum-exps."""
    features = _flat(student.features)
    frames, channels, pixels = features.shape
    shape = (frames, *student.features.shape[2:])
    kept = features.new_empty(KEPT[rules.distill], *shape, dtype=torch.float32)
    final = labels.new_empty(shape, dtype=torch.int32)
    constants = _constants(student, teacher, "TEACHER", rules.thresholds is not None or rules.distill != "none")
    tiles = triton.cdiv(pixels, constants["BP"])
    sums = features.new_empty(frames, tiles, 4, dtype=torch.float32)
    weights, old, old_weights = _operands(student, teacher)
    thresholds = old_weights[1] if rules.thresholds is None else rules.thresholds.float().contiguous()
    truth = labels.flatten(1)
    if frames * tiles:
        with launching(features):
            forward_kernel[(frames * tiles,)](
                features, *weights, truth, old, *old_weights, thresholds,
                _flags(rules.guesses, labels), _flags(rules.hides, labels), sums, final, kept,
                pixels, channels, old.shape[1], len(student.weight), rules.num_old, tiles, MODES[rules.distill],
                *features.stride(), *truth.stride(), *old.stride(), frames * pixels,
                1 / math.log(max(rules.num_old, 2)), **constants,
            )  # fmt: skip
    summed = sums.sum(dim=1).T
    return torch.cat([summed[:2] / pixels, accepted_share(summed[2], summed[3])[None]]), final, kept


def backward(
    gradients: Tensor, student: Head, labels: Tensor, teacher: Head | None, rules: Rules, kept: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of features, weight and bias; labels and kept as `forward` returned them."""
    features = _flat(student.features)
    frames, channels, pixels = features.shape
    classes = len(student.weight)
    d_features = torch.empty_like(features)
    constants = _constants(student, teacher, "DISTILL", rules.distill != "none")
    tiles = triton.cdiv(pixels, constants["BP"])
    parts = min(frames * tiles, SPLITS)
    d_weight = features.new_empty(parts, classes, channels, dtype=torch.float32)
    d_bias = features.new_empty(parts, classes, dtype=torch.float32)
    weights, old, old_weights = _operands(student, teacher)
    scales = torch.stack([gradients[0] / pixels, gradients[1] / (pixels * rules.num_old)])
    inputs = (features, *weights, labels, old, *old_weights, kept, scales, _flags(rules.hides, labels))
    sizes = (frames, pixels, channels, old.shape[1], classes, rules.num_old, tiles, MODES[rules.distill])
    strides = (*features.stride(), *old.stride())
    if parts:
        with launching(features):
            features_kernel[(frames * tiles,)](
                *inputs, d_features, *sizes, *strides, *d_features.stride(), frames * pixels, **constants
            )
            weight_kernel[(parts, triton.cdiv(classes, constants["BK"]))](
                *inputs, d_weight, d_bias, *sizes, parts, *strides, frames * pixels, **constants
            )
    d_weight, d_bias = d_weight.sum(dim=0).to(student.weight.dtype), d_bias.sum(dim=0).to(student.bias.dtype)
    return d_features.view(student.features.shape), d_weight, d_bias


def _flat(maps: Tensor) -> Tensor:
    """Return [N, C, H, W] as [N, C, H W]: a view of maps that are contiguous or channels-last, else a copy."""
    return maps.flatten(2)


def _operands(student: Head, teacher: Head | None) -> tuple[tuple[Tensor, Tensor], Tensor, tuple[Tensor, Tensor]]:
    """Return classifiers in float32 and the teacher's features; without a teacher the student stands in, unread."""
    weights, old = (
        (head.weight.float().contiguous(), head.bias.float().contiguous()) for head in (student, teacher or student)
    )
    return weights, _flat((teacher or student).features), old


def _flags(flags: Tensor | None, labels: Tensor) -> Tensor:
    return labels.new_zeros(len(labels), dtype=torch.int8) if flags is None else flags.to(torch.int8)


def _constants(student: Head, teacher: Head | None, switch: str, on: bool) -> dict[str, Any]:
    """Return a launch's constants and options, which follow from the device, the types and the channels alone."""
    heads = [student, teacher or student]
    device = student.features.device
    half = all(head.features.dtype != torch.float32 for head in heads)
    # Features of half precision are exact in three products of tf32; float32 ones nearly, where torch may use tf32.
    split = has_tf32(device) and (half or torch.get_float32_matmul_precision() != "highest")
    constants = _tiles(architecture(device), split, *(head.features.shape[1] for head in heads))
    return {**constants, switch: on, "num_stages": STAGES}


def _tiles(architecture: str, split: bool, channels: int, old_channels: int) -> dict[str, Any]:
    pixels, classes, warps = TILES.get(architecture, TILES["default"])
    widths = [max(16, triton.next_power_of_2(number)) for number in (channels, old_channels)]
    # A wide head's tile holds fewer pixels, in the same registers.
    pixels = max(16, min(pixels, pixels * 32 // max(widths)))
    sizes = {"BP": pixels, "BK": classes, "BD": widths[0], "BD_OLD": widths[1], "num_warps": warps}
    return {**sizes, "PRECISION": "tf32x3" if split else "ieee"}


def variants(architecture: str) -> Iterator[Variant]:
    """Yield every kernel for 32 channels that lie last, as the segmenter's do: each type, with and without teacher.

    Other widths and layouts are compiled when they are met.
    """
    for dtype, split in (("fp32", False), ("fp32", True), ("bf16", True), ("fp16", True)):
        if architecture.startswith("gfx"):
            if dtype == "fp32" and split:
                continue
            split = False
        constants = _tiles(architecture, split, 32, 32)
        warps = constants.pop("num_warps")
        for kernel, switch in ((forward_kernel, "TEACHER"), (features_kernel, "DISTILL"), (weight_kernel, "DISTILL")):
            arguments = [parameter.name for parameter in kernel.params if not parameter.is_constexpr]
            ones = {name: 1 for name in arguments if name in CHANNELS_LAST}
            types = {name: _type(name, dtype) for name in arguments if name not in ones}
            for on in (False, True):
                of = f"{dtype}{' tf32' if split and dtype == 'fp32' else ''}{' teacher' if on else ''}"
                name = f"{kernel.fn.__name__.removesuffix('_kernel')} {of}"
                launch = {**constants, **ones, switch: on}
                yield Variant(f"loss {name}", kernel, types, launch, warps, STAGES, MULTIPLES)


def _type(argument: str, dtype: str) -> str:
    if argument in ("features", "old_features", "d_features"):
        return f"*{dtype}"
    integers = {"labels": "*i64", "final": "*i32", "guesses": "*i8", "hides": "*i8"}
    if argument in integers:
        return integers[argument]
    if argument == "entropy_scale":
        return "fp32"
    sizes = ("N", "P", "D", "D_old", "K", "K_old", "tiles", "splits", "distill")
    return "i32" if argument in sizes or argument.startswith("stride") else "*fp32"
