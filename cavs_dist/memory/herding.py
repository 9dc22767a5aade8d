"""Herding: keep the clips that look most like the mean of their class (as in iCaRL, arXiv 1611.07725).

Two passes: every clip's mean feature of each class, then the distance to the mean over clips. An ablation of MSS.
"""

from collections.abc import Iterator, Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cavs_dist import distributed
from cavs_dist.data.clip import IGNORED
from cavs_dist.outputs.segmentation import Batch


def class_features(batch: Batch, maps: Tensor) -> Iterator[tuple[int, str, Tensor]]:
    """Yield (label, key, feature [C] float64): the mean of `maps` [N, C, h, w] over the class's pixels in a clip.

    A place of the map counts as much as the class covers of it; background is no class.
    """
    clips, frames = batch.present.shape
    wide, (height, width) = maps.double(), maps.shape[-2:]
    for label in torch.unique(batch.labels).tolist():
        if label not in (0, IGNORED):
            share = F.adaptive_avg_pool2d((batch.labels == label).double()[:, None], (height, width))
            area = share.view(clips, -1).sum(dim=1)
            total = (wide * share).sum(dim=(2, 3)).view(clips, frames, -1).sum(dim=1)
            for clip in torch.nonzero(area).flatten().tolist():
                yield label, batch.keys[clip], total[clip] / area[clip]


def distances_to_mean(features: Mapping[str, Tensor]) -> dict[str, float]:
    """Return the distance of each of this rank's clips to the mean feature of their class. Collective.

    features: key -> feature [C] float64 of this rank's clips of one class. The mean is over all ranks' clips, summed
    in the order of their keys.
    """
    rows = _rows(features)
    keys, found = distributed.gather_rows(_names(list(features))), distributed.gather_rows(rows)
    order = sorted(range(len(keys)), key=lambda row: bytes(keys[row].tolist()))
    mean = found[order].sum(dim=0) / max(len(found), 1)
    return dict(zip(features, (rows - mean).norm(dim=1).tolist(), strict=True))


def _rows(features: Mapping[str, Tensor]) -> Tensor:
    """Stack features to [n, C], with the C of the other ranks where this one has none. Collective."""
    channels = distributed.largest_over_ranks(max((len(feature) for feature in features.values()), default=0))
    nothing = torch.zeros(0, channels, dtype=torch.float64, device=distributed.device())
    return torch.cat((nothing, *(feature[None] for feature in features.values())))


def _names(keys: list[str]) -> Tensor:
    """Lay keys out as [n, L] bytes, padded with zeros to the longest of all ranks. Collective."""
    encoded = [key.encode() for key in keys]
    width = distributed.largest_over_ranks(max(map(len, encoded), default=1))
    table = np.array(encoded, f"S{width}").view(np.uint8).reshape(-1, width)
    return torch.from_numpy(table.copy()).to(distributed.device())
