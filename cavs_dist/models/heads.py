"""One classifier a stage over shared head features; their rows together are the classifier of all classes seen."""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from cavs_dist.randomness import keyed_hash

HeadInit = Literal["random", "background"]


class StageHeads(nn.Module):
    """Linear classifiers of head features; the first holds the background as its row 0."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.features = features
        self.heads = nn.ModuleList()

    def grow(self, num_new: int, init: HeadInit, *names: int | str) -> None:
        """Add the head of a stage with `num_new` classes (and background, if it is the first).

        `random` rows come from a generator keyed by `names`, alike on all ranks. `background` (MiB, arXiv 2002.00718)
        gives new rows the background's weights, and all of them and the background its bias - log(num_new + 1).
        """
        first = not self.heads
        head = nn.Linear(self.features, num_new + first)
        source = torch.Generator().manual_seed(keyed_hash("head", len(self.heads), *names) % 2**63)
        bound = 1 / math.sqrt(self.features)
        with torch.no_grad():
            head.weight.uniform_(-bound, bound, generator=source)
            head.bias.zero_()
            if init == "background" and not first:
                start = self.heads[0]
                assert isinstance(start, nn.Linear)
                start.bias[0] -= math.log(num_new + 1)
                head.weight.copy_(start.weight[:1].expand_as(head.weight))
                head.bias.copy_(start.bias[:1].expand_as(head.bias))
        self.heads.append(head.to(next(self.parameters(), head.weight).device))

    def forward(self) -> tuple[Tensor, Tensor]:
        """Return the classifier over all classes seen: weight [K, D] and bias [K]."""
        heads: Sequence[nn.Module] = list(self.heads)
        weights, biases = zip(*((head.weight, head.bias) for head in heads), strict=True)
        return torch.cat(weights), torch.cat(biases)
