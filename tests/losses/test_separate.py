import math

import torch
from torch import Tensor

from cavs_dist.losses.separate import (
    mask_distillation,
    mask_loss,
    mixture_weight,
    ratio_masks,
    separation_loss,
)
from cavs_dist.outputs.separation import Batch, Outputs


def tensors() -> tuple[Tensor, Tensor, Tensor]:
    """Masks [2, 3, 4, 5], sources and mixtures of magnitudes from 0 to 1e6, with bins that are silent."""
    torch.manual_seed(0)
    masks = torch.rand(2, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    sources = 10 ** torch.empty(2, 3, 4, 5, dtype=torch.float64).uniform_(-6, 6)
    sources[0, :, 0] = 0
    mixture = sources.sum(dim=1, keepdim=True) * torch.rand(2, 1, 4, 5, dtype=torch.float64)
    return masks, sources, mixture


def slow(masks: Tensor, targets: list[Tensor] | Tensor, mixture: Tensor) -> Tensor:
    losses = torch.zeros(2, 3, dtype=torch.float64)
    for b in range(2):
        for n in range(3):
            for f in range(4):
                for t in range(5):
                    weight = min(max(math.log(1 + mixture[b, 0, f, t]), 1e-3), 10)
                    distance = (masks[b, n, f, t] - targets[b][n][f][t]).abs()
                    losses[b, n] = losses[b, n] + weight * distance / 20
    return losses


def slow_masks(sources: Tensor, mixture: Tensor) -> Tensor:
    ratios = (sources.flatten() / (mixture + 1e-10).expand_as(sources).flatten()).tolist()
    return torch.tensor([min(max(ratio, 0), 5) for ratio in ratios], dtype=torch.float64).view_as(sources)


def assert_same(found: Tensor, expected: Tensor, masks: Tensor) -> None:
    torch.testing.assert_close(found, expected)
    weights = torch.arange(1.0, 7, dtype=torch.float64).view(2, 3)
    (ours,), (theirs,) = (torch.autograd.grad((weights * loss).sum(), masks) for loss in (found, expected))
    torch.testing.assert_close(ours, theirs)


def test_the_mask_loss_equals_its_formula() -> None:
    masks, sources, mixture = tensors()
    targets = slow_masks(sources, mixture)
    assert 0 < (targets == 5).sum() < targets.numel() and (targets == 0).sum() == 15
    torch.testing.assert_close(ratio_masks(sources, mixture), targets)
    assert_same(mask_loss(masks, sources, mixture), slow(masks, targets, mixture), masks)


def test_the_distillation_equals_its_formula_and_teaches_the_new_model_alone() -> None:
    masks, _, mixture = tensors()
    old = torch.rand_like(masks).requires_grad_()
    assert_same(mask_distillation(masks, old, mixture), slow(masks, old.detach(), mixture), masks)
    mask_distillation(masks, old, mixture).sum().backward()
    assert old.grad is None and masks.grad is not None


def test_a_batch_s_loss_is_that_of_its_sources_by_their_weights() -> None:
    masks, sources, mixture = tensors()
    nothing, weight = torch.zeros(0), torch.arange(1.0, 7, dtype=torch.float64)
    outputs = Outputs(mixture, sources, masks, nothing, nothing, None, nothing, (), nothing, nothing)
    batch = Batch(tuple("abcdef"), *[nothing] * 7, weight=weight, memory_weight=nothing)
    found, expected = separation_loss(batch, outputs), slow(masks, slow_masks(sources, mixture), mixture)
    torch.testing.assert_close(found, {"masks": (weight.view(2, 3) * expected).sum()})


def test_half_precision_is_counted_in_float32_inside_an_autocast_too() -> None:
    masks, sources, mixture = (x.detach().clamp(max=1e4).half() for x in tensors())
    with torch.autocast("cpu", torch.bfloat16):
        found = mask_loss(masks, sources, mixture)
        weight = mixture_weight(mixture)
    assert found.dtype == weight.dtype == torch.float32
    expected = mask_loss(masks.double(), sources.double(), mixture.double())
    torch.testing.assert_close(found, expected, check_dtype=False, rtol=1e-5, atol=1e-7)
