import math

import pytest
import torch
from torch import Tensor

from cavs_dist.losses.segment import cross_entropy, unbiased_cross_entropy
from cavs_dist.outputs import Outputs


def head(frames: int = 2, classes: int = 4, height: int = 3, width: int = 5, features: int = 3) -> list[Tensor]:
    torch.manual_seed(frames + classes + height)
    shapes = ((frames, features, height, width), (classes, features), (classes,))
    return [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]


def outputs(features: Tensor, weight: Tensor, bias: Tensor) -> Outputs:
    return Outputs((), features, features, weight, bias)


def slow(features: Tensor, weight: Tensor, bias: Tensor, labels: Tensor, num_old: int) -> Tensor:
    """Evaluate the formula pixel by pixel; with `num_old` 0 it is the plain one."""
    frames, _, height, width = features.shape
    losses = []
    for n in range(frames):
        total = features.new_zeros(())
        for y in range(height):
            for x in range(width):
                label = int(labels[n, y, x])
                if label != 255:
                    exps = (weight @ features[n, :, y, x] + bias).exp()
                    mass = exps[: 1 + num_old].sum() if label == 0 else exps[label]
                    total = total - (mass / exps.sum()).log()
        losses.append(total / (height * width))
    return torch.stack(losses)


@pytest.mark.parametrize("num_old", [0, 1, 2])
def test_values_and_gradients_equal_the_formula(num_old: int) -> None:
    tensors = head()
    labels = torch.tensor([0, 1, 2, 3, 255]).repeat(6).view(2, 3, 5)
    loss = unbiased_cross_entropy(outputs(*tensors), labels, num_old)
    if num_old == 0:
        torch.testing.assert_close(cross_entropy(outputs(*tensors), labels), loss)
    expected = slow(*tensors, labels, num_old)
    torch.testing.assert_close(loss, expected)
    weights = torch.tensor([0.3, 1.7], dtype=torch.float64)
    found = torch.autograd.grad((weights * loss).sum(), tensors)
    torch.testing.assert_close(found, torch.autograd.grad((weights * expected).sum(), tensors))


def test_gradients_pass_gradcheck() -> None:
    tensors = head(frames=1, height=2, width=3)
    labels = torch.tensor([[[0, 1, 255], [2, 3, 0]]])
    assert torch.autograd.gradcheck(lambda *t: cross_entropy(outputs(*t), labels), tensors)
    assert torch.autograd.gradcheck(lambda *t: unbiased_cross_entropy(outputs(*t), labels, 2), tensors)


def test_ignored_pixels_add_nothing_and_stay_in_the_denominator() -> None:
    tensors = head(classes=4)
    for tensor in tensors:
        tensor.detach().zero_()
    labels = torch.full((2, 3, 5), 255)
    labels[0, 0, 0] = 2
    loss = cross_entropy(outputs(*tensors), labels)
    torch.testing.assert_close(loss, torch.tensor([math.log(4) / 15, 0.0], dtype=torch.float64))
    assert all(bool(g.isfinite().all()) for g in torch.autograd.grad(loss.sum(), tensors))


def test_half_precision_heads_give_float32_losses() -> None:
    features, weight, bias = (tensor.detach().bfloat16() for tensor in head())
    assert (
        cross_entropy(outputs(features, weight, bias), torch.zeros(2, 3, 5, dtype=torch.int64)).dtype == torch.float32
    )
