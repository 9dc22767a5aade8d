import math

import torch
from torch import Tensor

from cavs_dist.losses.distill import attention_distillation


def scores(seed: int) -> Tensor:
    torch.manual_seed(seed)
    return torch.randn(2, 3, 5, dtype=torch.float64, requires_grad=True)


def slow(attention: Tensor, old_attention: Tensor) -> Tensor:
    rows = []
    for b in range(2):
        for n in range(3):
            terms = [old_attention[b, n, p] * (old_attention[b, n, p] / attention[b, n, p]).log() for p in range(5)]
            rows.append(sum(terms, torch.zeros(())))
    return torch.stack(rows).view(2, 3)


def test_values_and_gradients_equal_the_formula_and_the_old_model_learns_nothing() -> None:
    new, old = scores(0), scores(1)
    found = attention_distillation(new.softmax(dim=2), old.softmax(dim=2))
    expected = slow(new.softmax(dim=2), old.softmax(dim=2).detach())
    torch.testing.assert_close(found, expected)
    weights = torch.arange(1.0, 7, dtype=torch.float64).view(2, 3)
    gradients = [
        torch.autograd.grad((weights * loss).sum(), [new, old], allow_unused=True) for loss in (found, expected)
    ]
    assert gradients[0][1] is None
    torch.testing.assert_close(gradients[0][0], gradients[1][0])


def test_places_that_softmax_rounds_to_0_are_finite() -> None:
    new = torch.tensor([[[0.0, 200.0], [0.0, 0.0]]], requires_grad=True)
    old = torch.tensor([[[200.0, 0.0], [200.0, 0.0]]])
    found = attention_distillation(new.softmax(dim=2), old.softmax(dim=2))
    torch.testing.assert_close(found, torch.tensor([[126 * math.log(2), math.log(2)]]))
    (gradient,) = torch.autograd.grad(found.sum(), new)
    # Where the new model is sure of the other place, a gradient has nowhere to go.
    torch.testing.assert_close(gradient, torch.tensor([[[0.0, 0.0], [-0.5, 0.5]]]))


def test_half_precision_is_counted_in_float32() -> None:
    new, old = scores(0).softmax(dim=2).bfloat16(), scores(1).softmax(dim=2).bfloat16()
    found = attention_distillation(new, old)
    torch.testing.assert_close(found, attention_distillation(new.double(), old.double()).float())
