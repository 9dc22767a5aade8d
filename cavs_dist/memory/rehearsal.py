"""How often a class is rehearsed: collisions with it (CSR, CMR arXiv 2510.17234, section 4), counted over a stage."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import torch
from torch import Tensor

from cavs_dist.curriculum import Stage
from cavs_dist.distributed import sum_over_ranks
from cavs_dist.outputs.segmentation import Batch, Outputs
from cavs_kernels.collision import Collisions, collisions
from cavs_kernels.head import Head

Pairs = dict[tuple[str, str], int]  # (old class, new class) -> clips in which the old model takes new for old
MOST_PAIRS = 20


class CollisionCounter:
    """Counts collisions while the stage's clips pass by; integers, so ranks and batches change nothing."""

    def __init__(self, stage: Stage, threshold: float, device: torch.device) -> None:
        self.stage, self.threshold = stage, threshold
        self.pairs = torch.zeros(stage.num_labels, stage.num_labels, dtype=torch.int64, device=device)

    def watch(self, clips: Iterable[tuple[Batch, Outputs]]) -> Iterator[tuple[Batch, Outputs]]:
        """Yield `clips` (with the old model's outputs) unchanged, counting each on its way."""
        for batch, outputs in clips:
            self.add(outputs.head, batch)
            yield batch, outputs

    def add(self, old: Head | Tensor, batch: Batch) -> None:
        """Count a batch's collisions; `old` is the old model's head, or its argmax map [N, H, W]."""
        found = find_collisions(old, batch, self.stage, self.threshold)
        self.pairs.index_put_((found.old, found.new), found.recorded.long(), accumulate=True)

    def by_pair(self) -> Pairs:
        """Return how many clips collided, by (old class, new class), over all ranks. Collective."""
        return name_pairs(self.stage, sum_over_ranks(self.pairs).tolist())


def find_collisions(old: Head | Tensor, batch: Batch, stage: Stage, threshold: float) -> Collisions:
    """Find the collision of each of the batch's clips; `old` is the old model's head, or its argmax map [N, H, W]."""
    truth = batch.labels.view(len(batch.keys), -1, *batch.labels.shape[1:])
    return collisions(old if isinstance(old, Head) else old.view_as(truth), truth, stage.num_labels, threshold)


def name_pairs(stage: Stage, counts: Sequence[Sequence[int]]) -> Pairs:
    """Name the labels of counts[old][new], of those that are not 0."""
    name = ("background", *stage.seen)
    return {(name[a], name[b]): count for a, row in enumerate(counts) for b, count in enumerate(row) if count}


def by_old_class(pairs: Pairs) -> dict[str, int]:
    """Return N_a, the collisions with each old class."""
    return {name: sum(count for (a, _), count in pairs.items() if a == name) for name in sorted({a for a, _ in pairs})}


def collision_table(counts: Mapping[str, float], pairs: Pairs) -> tuple[list[str], list[list[str | int | float]]]:
    """Return columns and rows of a table of all pairs, the most frequent first; `ratio` is of a stage's collisions."""
    total = sum(pairs.values())
    most = sorted(pairs.items(), key=lambda pair: (-pair[1], pair[0]))
    return ["old class", "new class", "count", "ratio", "N_a"], [
        [old, new, count, count / total, counts.get(old, 0)] for (old, new), count in most
    ]


def rehearsal_scalars(counts: Mapping[str, float], weights: Mapping[str, float], pairs: Pairs) -> dict[str, float]:
    """Name N_a and the rehearsal weight of each class that has one, and the most frequent pairs, for the track."""
    most = sorted(pairs.items(), key=lambda pair: (-pair[1], pair[0]))[:MOST_PAIRS]
    return {
        **{f"rehearse/N/{name}": counts.get(name, 0) for name in weights},
        **{f"rehearse/weight/{name}": weight for name, weight in weights.items()},
        **{f"collisions/{old} -> {new}": count for (old, new), count in most},
    }
