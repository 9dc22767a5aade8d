"""Replay: fine-tuning that sees exemplars of earlier stages again.

Its loss is fine-tuning's. What differs is what it trains on: the sections `memory` (which exemplars are kept) and
`rehearse` (how often they are drawn) mix rehearsed clips, all of whose seen classes are labelled, into every update.
"""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from cavs_dist.methods.base import Method, MethodConfig


@dataclass(frozen=True)
class ReplayConfig(MethodConfig):
    """The section `method` of `replay`.

    name: `replay`.
    """

    name: str = "replay"


class Replay(Method):
    """The task's own loss on the stage's clips and on rehearsed ones alike."""

    Config = ReplayConfig
    teacher = False

    def loss(self, batch: Any, outputs: Any, teacher: Any) -> dict[str, Tensor]:
        """Return the task's own loss."""
        return self.plain(batch, outputs)
