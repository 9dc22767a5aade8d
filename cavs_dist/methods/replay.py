"""Replay: fine-tuning that sees exemplars of earlier stages again.

Its loss is fine-tuning's. What differs is what it trains on: the sections `memory` (which exemplars are kept) and
`rehearse` (how often they are drawn) mix rehearsed clips, all of whose seen classes are labelled, into every update.
"""

from dataclasses import dataclass

from torch import Tensor

from cavs_dist.losses.segment import cross_entropy
from cavs_dist.methods.base import Method, MethodConfig
from cavs_dist.outputs import Batch, Outputs


@dataclass(frozen=True)
class ReplayConfig(MethodConfig):
    """The section `method` of `replay`.

    name: `replay`.
    """

    name: str = "replay"


class Replay(Method):
    """Cross-entropy on the stage's clips and on rehearsed ones alike."""

    Config = ReplayConfig
    teacher = False

    def loss(self, batch: Batch, outputs: Outputs, teacher: Outputs | None) -> dict[str, Tensor]:
        """Return the cross-entropy."""
        return {"segment": (batch.label_weight * cross_entropy(outputs, batch.labels)).sum()}
