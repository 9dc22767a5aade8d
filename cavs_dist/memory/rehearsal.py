"""How often a class is rehearsed: collisions with it, counted over the stage (CSR, CMR arXiv 2510.17234, section 4)."""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from cavs_dist.curriculum import Stage
from cavs_dist.distributed import sum_over_ranks
from cavs_dist.outputs import Batch, Outputs
from cavs_kernels.collision import collisions


class CollisionCounter:
    """Counts collisions while the stage's clips pass by; integers, so ranks and batches change nothing."""

    def __init__(self, stage: Stage, threshold: float, device: torch.device) -> None:
        self.stage, self.threshold = stage, threshold
        self.pairs = torch.zeros(stage.num_labels, stage.num_labels, dtype=torch.int64, device=device)

    def watch(self, clips: Iterable[tuple[Batch, Outputs]]) -> Iterator[tuple[Batch, Outputs]]:
        """Yield `clips` (with the old model's outputs) unchanged, counting each on its way."""
        for batch, outputs in clips:
            self.add(outputs.prediction(), batch)
            yield batch, outputs

    def add(self, old: Tensor, batch: Batch) -> None:
        """Count a batch's collisions; `old` [N, H, W] is the old model's argmax map."""
        clips = len(batch.keys)
        found = collisions(old.view(clips, -1), batch.labels.view(clips, -1), self.stage.num_labels, self.threshold)
        self.pairs.index_put_((found.old, found.new), found.recorded.long(), accumulate=True)

    def by_pair(self) -> dict[tuple[str, str], int]:
        """Return how many clips collided, by (old class, new class), over all ranks. Collective."""
        pairs = sum_over_ranks(self.pairs).tolist()
        name = ("background", *self.stage.seen)
        return {(name[a], name[b]): count for a, row in enumerate(pairs) for b, count in enumerate(row) if count}


def by_old_class(pairs: dict[tuple[str, str], int]) -> dict[str, int]:
    """Return N_a, the collisions with each old class."""
    return {name: sum(count for (a, _), count in pairs.items() if a == name) for name in sorted({a for a, _ in pairs})}
