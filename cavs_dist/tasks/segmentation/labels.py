"""What a pixel's label is at a stage, as one lookup table from the data set's mask ids.

The protocol of class-incremental segmentation (PLOP, arXiv 2011.11390) as CMR (arXiv 2510.17234) uses it.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from cavs_dist.curriculum import Stage
from cavs_dist.data.clip import IGNORED
from cavs_dist.tasks.base import LabelRole

BACKGROUND = 0

# What becomes of a pixel of an old and of a future class; None keeps the class. New classes are always kept.
OLD: Mapping[LabelRole, int | None] = {"train": BACKGROUND, "val": IGNORED, "test": None, "memory": None}
FUTURE: Mapping[LabelRole, int] = {"train": BACKGROUND, "val": IGNORED, "test": IGNORED, "memory": IGNORED}


def label_table(names: Mapping[int, str], stage: Stage, role: LabelRole) -> NDArray[np.uint8]:
    """Make the table [256] that turns a mask of the data set's ids into `stage`'s labels: `table[mask]`.

    `names` are the data set's classes by mask id. Background stays 0 and 255 stays 255; a class that the curriculum
    never learns counts as a future one; an id without a name is ignored.
    """
    table = np.full(256, IGNORED, dtype=np.uint8)
    table[BACKGROUND] = BACKGROUND
    label = {name: 1 + position for position, name in enumerate(stage.seen)}
    for mask_id, name in names.items():
        if name in stage.new:
            table[mask_id] = label[name]
        elif name in label:
            old = OLD[role]
            table[mask_id] = label[name] if old is None else old
        else:
            table[mask_id] = FUTURE[role]
    return table
