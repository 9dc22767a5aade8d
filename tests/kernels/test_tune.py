"""What `bench/tune.py` tries, at a small size: every shape gives what the shipped one does, and is put back after."""

import pytest
import torch
from torch import Tensor
from tune import TOLERANCE, launches, times

from cavs_kernels.av_attention import kernel
from cavs_kernels.av_attention.kernel import Shape

pytestmark = pytest.mark.kernel
SHAPES = [Shape(16, 16, 4, 1), Shape(32, 32, 8, 2)]


def test_other_shapes_say_the_same_and_are_timed(device: torch.device) -> None:
    shipped = kernel.tail_shape, kernel.product_shape
    for _, rule, launch in launches(2, 20, 64, torch.float32, device):
        found = times(rule, launch, SHAPES, TOLERANCE[torch.float32], lambda _: 1.0)
        assert list(found) == [None, *SHAPES]
    assert (kernel.tail_shape, kernel.product_shape) == shipped


def test_what_says_something_else_is_not_timed(device: torch.device) -> None:
    def launch() -> tuple[Tensor, ...]:
        shape = kernel.tail_shape("sm_90", 64, True, backwards=False)
        return (torch.full((3,), float(shape in SHAPES), device=device) + 1,)

    assert list(times("tail_shape", launch, SHAPES, 1e-5, lambda _: 1.0)) == [None]
