"""CrossSDC, the cross-modal similarity distillation constraint of ContAV-Sep (arXiv 2411.02860).

Sound and sight of one source lie close to each other, in the current model's space and in the old model's.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import torch
from torch import Tensor

from cavs_dist.distributed import gather_rows, gathered_rows, world_size


@dataclass(frozen=True)
class Rows:
    """The K rows of each modality that are compared with those of another: row k of each is of the same source.

    features: modality -> [K, D]; `audio`, `object`, and `motion` where a separator has it. videos: [K] int64, one id a
    video. classes: [K] int64. Rows with equal ids are positives of each other: of the *instance* or of the *class*.
    """

    features: Mapping[str, Tensor]
    videos: Tensor
    classes: Tensor


def contrast_rows(
    current: Mapping[str, Tensor],
    old: Mapping[str, Tensor] | None,
    from_memory: Tensor,
    videos: Tensor,
    classes: Tensor,
) -> Rows:
    """Return the K = n_new + 2 n_old rows of M sources, n_old of them from memory.

    current, old: modality -> [M, D], by the current and by the old model; these are detached, and only sources from
    memory are taken of them. Without an old model (`old` is None) K = M. from_memory: [M] bool. videos, classes: [M]
    int64.
    """
    if old is None:
        return Rows(current, videos, classes)
    again = from_memory.nonzero().flatten()
    return Rows(
        features={name: torch.cat((rows, old[name].detach()[again])) for name, rows in current.items()},
        videos=torch.cat((videos, videos[again])),
        classes=torch.cat((classes, classes[again])),
    )


def cross_sdc(rows: Rows, temperature: float = 0.05, *, gather: bool = False) -> tuple[Tensor, Tensor]:
    """Return the instance and the class loss of CrossSDC, two numbers in float32 at least; 0 where there is no row.

    l(X, Y; E) = -(1/K) sum_i (1 / sum_j E_ij) sum_j E_ij log softmax_j(x_i . y_j / temperature), for rows of length 1
    and E_ij = 1 where i and j are of the same video, or class; each loss is the mean of (l(X, Y) + l(Y, X)) / 2 over
    all pairs of modalities. The formula is arXiv 2411.02860's; the temperature, both directions and the mean are its
    released code's.

    gather: compare with the rows of all ranks, as many as each has. Collective then, forward and backward, so a rank
    without a row takes part too. What is returned is this rank's part: its mean over ranks, and that of its gradients,
    is what one process with all K rows has.
    """
    with torch.autocast(rows.videos.device.type, enabled=False):
        own = _directions(rows)
        every = _of_all_ranks(own) if gather else own
        positives = _positives(own, every)
        pairs = list(combinations(own.features, 2))
        losses = torch.stack([_both_ways(own, every, pair, positives, temperature) for pair in pairs]).mean(dim=0)
        num_ranks = world_size() if gather else 1
        instance, of_class = losses * (num_ranks / max(1, len(every.videos)))
    return instance, of_class


def _directions(rows: Rows) -> Rows:
    return Rows({name: _of_length_1(vectors) for name, vectors in rows.features.items()}, rows.videos, rows.classes)


def _of_length_1(vectors: Tensor) -> Tensor:
    """Scale [K, D] to rows of length 1, in float32 at least; a row of zeros has no direction and stays."""
    wide = vectors.to(torch.promote_types(vectors.dtype, torch.float32))
    lengths = torch.linalg.vector_norm(wide, dim=1, keepdim=True)
    return wide / lengths.where(lengths > 0, 1)


def _of_all_ranks(rows: Rows) -> Rows:
    """Return the rows of all ranks, gradients included, with one exchange for all modalities. Collective."""
    widths = [vectors.shape[1] for vectors in rows.features.values()]
    features = torch.split(gathered_rows(torch.cat(list(rows.features.values()), dim=1)), widths, dim=1)
    videos, classes = gather_rows(torch.stack((rows.videos, rows.classes), dim=1)).unbind(dim=1)
    return Rows(dict(zip(rows.features, features, strict=True)), videos, classes)


def _positives(own: Rows, every: Rows) -> Tensor:
    """Return E for videos and for classes, [2, R, K] bool; each of the R rows is one of the K."""
    ids, others = (torch.stack((rows.videos, rows.classes)) for rows in (own, every))
    return ids[:, :, None] == others[:, None]


def _both_ways(own: Rows, every: Rows, pair: tuple[str, str], positives: Tensor, temperature: float) -> Tensor:
    """Return (K / 2) (l(X, Y) + l(Y, X)) over this rank's rows, for each of the positives [2, R, K]: [2]."""
    x, y = pair
    forth = own.features[x] @ every.features[y].T / temperature
    # With the rows of one process alone, the one is the other transposed.
    back = forth.T if every is own else own.features[y] @ every.features[x].T / temperature
    return (_one_way(forth, positives) + _one_way(back, positives)) / 2


def _one_way(logits: Tensor, positives: Tensor) -> Tensor:
    """Return sum_i (log sum_j exp(z_ij) - the mean of z_ij where E_ij) for logits z [R, K] and E [2, R, K]: [2]."""
    means = (positives * logits).sum(dim=2) / positives.sum(dim=2)
    return (logits.logsumexp(dim=1) - means).sum(dim=1)
