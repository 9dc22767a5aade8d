"""Herding: keep the clips that look most like the mean of their class (as in iCaRL, arXiv 1611.07725).

Two passes: every clip's mean feature of each class, then the distance to the mean over clips. An ablation of MSS.
"""

from collections.abc import Iterator, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from cavs_dist.data.clip import IGNORED
from cavs_dist.outputs import Batch

Features = Mapping[tuple[int, str], list[float]]


def class_features(batch: Batch, maps: Tensor) -> Iterator[tuple[tuple[int, str], list[float]]]:
    """Yield ((label, key), feature [C]): the mean of `maps` [N, C, h, w] over the class's pixels in a clip.

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
                yield (label, batch.keys[clip]), (total[clip] / area[clip]).tolist()


def distances(features: Features, label: int) -> dict[str, float]:
    """Return each clip's distance to the mean feature of the class `label`, summed over sorted keys, in float64."""
    keys = sorted(key for found, key in features if found == label)
    if not keys:
        return {}
    stacked = torch.tensor([features[label, key] for key in keys], dtype=torch.float64)
    return dict(zip(keys, (stacked - stacked.mean(dim=0)).norm(dim=1).tolist(), strict=True))
