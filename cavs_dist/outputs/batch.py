"""What every task's batch has, and all that the loop needs to know of it."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch(ABC):
    """Some clips of one update on one rank.

    keys: of the clips. from_memory: bool, one a clip, those that are rehearsed.
    WEIGHTS: the names of a task's fields that weigh what losses sum over: an update's loss is sum_n weight_n * loss_n.
    They start as 0 or 1, and the loop scales them so that, after the engine's mean over ranks and micro-batches, what
    counts weighs the same wherever it is, however the update was cut into ranks and micro-batches.
    """

    WEIGHTS: ClassVar[tuple[str, ...]]

    keys: tuple[str, ...]
    from_memory: Tensor

    def to(self, device: torch.device) -> Self:
        """Return the batch on `device`."""
        moved: dict[str, Any] = {
            name: value.to(device, non_blocking=True) for name, value in vars(self).items() if isinstance(value, Tensor)
        }
        return replace(self, **moved)

    def weighed(self, factors: Tensor) -> Self:
        """Return the batch with each of its WEIGHTS times its factor, [len(WEIGHTS)]."""
        scaled: dict[str, Any] = {
            name: getattr(self, name) * factor for name, factor in zip(self.WEIGHTS, factors, strict=True)
        }
        return replace(self, **scaled)

    @abstractmethod
    def one_by_one(self) -> Iterator[Self]:
        """Yield what is judged alone (a clip, a mixture) as a batch of its own."""
