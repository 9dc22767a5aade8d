import math

import pytest
import torch
from torch import Tensor

from cavs_kernels.av_attention import AttentionWeights
from cavs_kernels.av_attention.direct import av_attention_direct


def project(vector: Tensor, weight: Tensor, bias: Tensor) -> list[float]:
    return [
        float(sum(w * v for w, v in zip(row, vector, strict=True)) + b) for row, b in zip(weight, bias, strict=True)
    ]


def attend(x: list[Tensor], keys: list[Tensor], seen: list[bool], weights: AttentionWeights, mode: str, i: int) -> list:
    """W_z sum_j alpha_ij g(x_j) at position i, number by number."""
    theta = project(x[i], weights.theta_w, weights.theta_b)
    products = [
        sum(t * p for t, p in zip(theta, project(key, weights.phi_w, weights.phi_b), strict=True)) for key in keys
    ]
    if mode == "softmax":
        powers = [math.exp(product) if visible else 0.0 for product, visible in zip(products, seen, strict=True)]
        alpha = [power / (sum(powers) or 1.0) for power in powers]
    else:
        alpha = [product * visible / max(sum(seen), 1) for product, visible in zip(products, seen, strict=True)]
    values = [project(other, weights.g_w, weights.g_b) for other in x]
    mixed = [sum(a * value[k] for a, value in zip(alpha, values, strict=True)) for k in range(len(theta))]
    return project(torch.tensor(mixed, dtype=torch.float64), weights.z_w, weights.z_b)


@pytest.mark.parametrize("mode", ["dot", "softmax", "visual"])
@pytest.mark.parametrize("mask", [[True, True], [True, False], [False, False]])
def test_the_formula_number_by_number(mode: str, mask: list[bool]) -> None:
    torch.manual_seed(0)
    frames, pixels, channels, inner = 2, 3, 4, 2
    shapes = [*[(inner, channels), (inner,)] * 3, (channels, inner), (channels,)]
    weights = AttentionWeights(*(torch.randn(shape, dtype=torch.float64) for shape in shapes))
    tokens = torch.randn(1, frames, pixels, channels, dtype=torch.float64)
    audio = torch.randn(1, frames, channels, dtype=torch.float64)
    found = av_attention_direct(tokens, None if mode == "visual" else audio, weights, mode, torch.tensor([mask]))
    x = [tokens[0, t, p] for t in range(frames) for p in range(pixels)]
    keys = x if mode == "visual" else [audio[0, t] for t in range(frames) for _ in range(pixels)]
    seen = [mask[t] for t in range(frames) for _ in range(pixels)]
    expected = [attend(x, keys, seen, weights, mode, i) for i in range(len(x))]
    torch.testing.assert_close(found.flatten(0, 2), torch.tensor(expected, dtype=torch.float64))
