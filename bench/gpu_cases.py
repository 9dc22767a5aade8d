"""Every op at AVSBench's shapes, its alternatives, and float64 for them to agree with: what `gpu.py` times."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from cavs_kernels.av_attention import AttentionWeights, NormWeights, av_attention_block
from cavs_kernels.av_attention.direct import av_attention_direct
from cavs_kernels.av_attention.reference import added_and_normalised, av_attention_block_reference
from cavs_kernels.collision.kernel import pair_counts
from cavs_kernels.collision.reference import pair_counts_reference
from cavs_kernels.dispatch import reference_only
from cavs_kernels.head import Head
from cavs_kernels.segmentation_loss import segmentation_terms
from cavs_kernels.segmentation_loss.reference import Rules, Terms, segmentation_terms_reference

Result = Sequence[Tensor]
Way = Callable[[], Result]


class Shapes(NamedTuple):
    """4 clips of 10 frames of 224 x 224; 71 classes of which 61 are old; levels 56 to 7 with 256 channels."""

    clips: int = 4
    frames: int = 10
    side: int = 224
    features: int = 32
    old: int = 61
    labels: int = 71
    levels: tuple[int, ...] = (56, 28, 14, 7)
    channels: int = 256


class Case(NamedTuple):
    """An op at a shape and type. ways: what is timed, the op with its kernel first. truth: what they must give, each
    part within `tolerance` of its length. bytes: what has to pass through memory at least."""

    family: str
    name: str
    dtype: torch.dtype
    ways: dict[str, Way]
    truth: Way
    tolerance: float
    bytes: int


def forced(way: Callable[..., Any]) -> Callable[..., Any]:
    """Return `way` with every op's reference."""

    def run(*arguments: Any) -> Any:
        with reference_only():
            return way(*arguments)

    return run


def collision_cases(shapes: Shapes, dtype: torch.dtype, device: torch.device) -> Iterator[Case]:
    """Count pairs from head features, logits and labels; truth and features are alike over 8 x 8 pixels, like objects.

    Features and weights are multiples of 1/4: counts are exact in every type.
    """
    torch.manual_seed(0)
    frames = shapes.clips * shapes.frames

    def regions(least: int, most: int, *size: int) -> Tensor:
        cells = torch.randint(least, most, (*size, shapes.side // 8, shapes.side // 8), device=device)
        return cells.repeat_interleave(8, dim=-2).repeat_interleave(8, dim=-1)

    truth = regions(shapes.old, shapes.labels, shapes.clips, shapes.frames)
    truth = truth * (regions(0, 5, shapes.clips, shapes.frames) > 0)
    weight, bias = (
        torch.randint(-8, 9, shape, device=device) / 4 for shape in ((shapes.old, shapes.features), (shapes.old,))
    )
    features = regions(-8, 9, frames, shapes.features) / 4
    wide = Head(features.double(), weight.double(), bias.double())
    head = Head(features.to(dtype, memory_format=torch.channels_last), weight, bias)
    logits = head.logits()
    labels = wide.logits().max(dim=1).indices.view_as(truth)
    count = partial(_counts, truth=truth, num_old=shapes.old, num_labels=shapes.labels, ignore=255)
    for name, old, least in (
        ("head", head, head.features.nbytes), ("logits", logits, logits.nbytes), ("labels", labels, labels.nbytes),
    ):  # fmt: skip
        ways = {
            "kernel": partial(count, pair_counts, old),
            "eager": partial(count, pair_counts_reference, old),
            "compiled": partial(count, torch.compile(pair_counts_reference, dynamic=False), old),
        }
        truth_of_counts = partial(count, pair_counts_reference, wide)
        yield Case("collision", name, dtype, ways, truth_of_counts, 0.0, truth.nbytes + least)


def _counts(counter: Callable[..., Tensor], old: Head | Tensor, **options: Any) -> Result:
    return [counter(old, **options)]


# What the methods ask of a frame: arguments of the op, and the reference's rules.
ASKED: dict[str, dict[str, Any]] = {
    "fine_tune": {},
    "plop": {"thresholds": 0.7},
    "mib": {"distill": "unbiased", "unbiased": True},
}


def loss_cases(shapes: Shapes, dtype: torch.dtype, device: torch.device) -> Iterator[Case]:
    """A method's losses and gradients of features and classifier. eager makes all logits, chunked some at a time."""
    torch.manual_seed(0)
    frames, size = shapes.clips * shapes.frames, (shapes.side, shapes.side)

    def head(classes: int) -> Head:
        features = torch.randn(frames, shapes.features, *size, device=device).relu()
        weight, bias = torch.randn(classes, shapes.features, device=device), torch.randn(classes, device=device)
        return Head(features.to(dtype, memory_format=torch.channels_last), 0.3 * weight, bias)

    student = Head(*(tensor.requires_grad_() for tensor in head(shapes.labels)))
    teacher = head(shapes.old)
    labels = torch.randint(shapes.old, shapes.labels, (frames, *size), device=device)
    labels *= torch.rand(frames, *size, device=device) < 0.2
    wide = Head(*(tensor.detach().double().requires_grad_() for tensor in student))
    wide_teacher = Head(*(tensor.double() for tensor in teacher))
    for name, asked in ASKED.items():
        known = teacher if asked else None
        thresholds = torch.full((shapes.old,), asked["thresholds"], device=device) if "thresholds" in asked else None
        op = partial(segmentation_terms, labels=labels, teacher=known, **{**asked, "thresholds": thresholds})
        everywhere = torch.ones(frames, dtype=torch.bool, device=device)
        rules = Rules(
            shapes.old if asked else shapes.labels,
            asked.get("distill", "none"),
            thresholds,
            None if thresholds is None else everywhere,
            everywhere if asked.get("unbiased") else None,
        )
        plain = partial(segmentation_terms_reference, labels=labels, teacher=known, rules=rules)
        ways = {
            "kernel": partial(_loss_step, op, student),
            "chunked": partial(_loss_step, forced(op), student),
            "eager": partial(_loss_step, plain, student),
            "compiled": partial(_loss_step, torch.compile(plain, dynamic=False), student),
        }
        truth = partial(_loss_step, partial(plain, teacher=wide_teacher if asked else None), wide)
        read = student.features.nbytes * (2 if asked.get("distill") is None else 3)
        least = read + student.features.nbytes + labels.nbytes + (teacher.features.nbytes if asked else 0)
        # Of two million entropies a few lie on the threshold, and fall to either side.
        yield Case("segmentation_loss", name, dtype, ways, truth, 5e-3, least)


def _loss_step(loss: Callable[[Head], Terms], student: Head) -> Result:
    terms = loss(student)
    losses = terms.cross_entropy + terms.distillation
    return [losses.detach(), *torch.autograd.grad(losses.mean(), list(student))]


def attention_cases(shapes: Shapes, dtype: torch.dtype, device: torch.device) -> Iterator[Case]:
    """The block in training, forward and backward, at each level. Alternatives run under autocast in half precision."""
    for level in shapes.levels:
        for mode, other in (("dot", {"direct": av_attention_direct}), ("softmax", {"sdpa": _sdpa}), ("visual", {})):
            torch.manual_seed(0)
            tokens = torch.randn(shapes.clips, shapes.frames, level * level, shapes.channels, device=device)
            audio = torch.randn(shapes.clips, shapes.frames, shapes.channels, device=device)
            leaves = [
                tokens.to(dtype),
                *([] if mode == "visual" else [audio]),
                *random_weights(shapes.channels, device),
            ]
            leaves = [leaf.requires_grad_() for leaf in leaves]
            mask = torch.ones(shapes.clips, shapes.frames, dtype=torch.bool, device=device)
            slope = torch.randn_like(tokens)
            op = partial(_block, av_attention_block)
            eager = partial(_block, av_attention_block_reference)
            step = partial(_attention_step, leaves=leaves, mode=mode, mask=mask, slope=slope)
            ways = {
                "kernel": partial(step, op),
                "eager": partial(step, eager),
                "compiled": partial(step, torch.compile(eager, dynamic=False)),
                **{name: partial(step, partial(_around, attention)) for name, attention in other.items()},
            }
            wide = [leaf.detach().double().requires_grad_() for leaf in leaves]
            truth = partial(_attention_step, eager, leaves=wide, mode=mode, mask=mask, slope=slope.double())
            tolerance = 1e-4 if dtype == torch.float32 else 5e-2
            # Forward reads x and writes Z; backward reads x and Z's slope and writes x's.
            least = 5 * leaves[0].nbytes
            yield Case("av_attention", f"{mode}, level {level}", dtype, ways, truth, tolerance, least)


def random_weights(channels: int, device: torch.device) -> list[Tensor]:
    """Return the eight weights of the attention and the four of its norms; scores x theta phi are then of order 1."""
    inner = channels // 2
    sizes = [(inner, channels), (inner,)] * 3 + [(channels, inner), (channels,)] + [(channels,)] * 4
    weights = [torch.randn(size, device=device) / (size[-1] ** 0.5 if len(size) > 1 else 1.0) for size in sizes]
    return [weight / inner**0.25 for weight in weights[:4]] + weights[4:]


def _block(block: Callable[..., Any], leaves: list[Tensor], mode: str, mask: Tensor) -> Tensor:
    """Call the op or its reference, with the batch's statistics."""
    audio = None if mode == "visual" else leaves[1]
    weights, norms = AttentionWeights(*leaves[-12:-4]), NormWeights(*leaves[-4:])
    options = {"mode": mode, "mask": mask, "running": None, "reduce": lambda values: values}
    found: Tensor = block(leaves[0], audio, weights, norms, **options)[0]
    return found


def _around(attention: Callable[..., Tensor], leaves: list[Tensor], mode: str, mask: Tensor) -> Tensor:
    """Put the reference's norms around another attention."""
    update = attention(leaves[0], leaves[1], AttentionWeights(*leaves[-12:-4]), mode, mask)
    return added_and_normalised(leaves[0], update, NormWeights(*leaves[-4:]), mask, None, lambda values: values)[0]


def _sdpa(tokens: Tensor, audio: Tensor, weights: AttentionWeights, mode: str, mask: Tensor) -> Tensor:
    """Softmax over all positions by torch's fused attention; every frame is visible here."""
    x, keys = tokens.flatten(1, 2), audio.repeat_interleave(tokens.shape[2], dim=1)
    theta = F.linear(x, weights.theta_w, weights.theta_b)
    phi = F.linear(keys, weights.phi_w, weights.phi_b)
    g = F.linear(x, weights.g_w, weights.g_b)
    mixed = F.scaled_dot_product_attention(theta[:, None], phi[:, None], g[:, None], scale=1.0)[:, 0]
    return F.linear(mixed, weights.z_w, weights.z_b).view_as(tokens)


def _attention_step(
    block: Callable[..., Tensor], leaves: list[Tensor], mode: str, mask: Tensor, slope: Tensor
) -> Result:
    """Return Z and all slopes but those of biases, which the batch norm leaves next to nothing of."""
    half = leaves[0].dtype if leaves[0].dtype in (torch.float16, torch.bfloat16) else None
    with torch.autocast(mask.device.type, dtype=half, enabled=half is not None):
        z = block(leaves, mode, mask)
    slopes = torch.autograd.grad(z, leaves, slope.to(z.dtype))
    return [z.detach(), *(each for each in slopes if each.ndim > 1)]


FAMILIES = {"collision": collision_cases, "segmentation_loss": loss_cases, "av_attention": attention_cases}
