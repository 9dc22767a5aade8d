from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor

from cavs_dist.outputs import Batch


@dataclass(frozen=True)
class Weighed(Batch):
    """A batch that weighs two things."""

    WEIGHTS: ClassVar[tuple[str, ...]] = ("first", "second")

    first: Tensor
    second: Tensor

    def one_by_one(self) -> Iterator[Self]:
        yield self


def make() -> Weighed:
    return Weighed(("a", "b"), torch.tensor([False, True]), torch.tensor([1.0, 0.0]), torch.ones(3))


def test_each_weight_has_its_factor_and_the_rest_stays() -> None:
    batch = make().weighed(torch.tensor([2.0, 0.5]))
    assert batch.first.tolist() == [2.0, 0.0] and batch.second.tolist() == [0.5] * 3
    assert batch.keys == ("a", "b") and batch.from_memory.tolist() == [False, True]


def test_moving_keeps_everything() -> None:
    moved = make().to(torch.device("meta"))
    assert moved.keys == ("a", "b") and moved.second.shape == (3,)
    assert {tensor.device.type for tensor in (moved.from_memory, moved.first, moved.second)} == {"meta"}
