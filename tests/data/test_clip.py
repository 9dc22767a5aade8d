import json
from dataclasses import FrozenInstanceError, asdict

import numpy as np
import pytest

from cavs_dist.data.clip import IGNORED, ClipMeta
from cavs_dist.data.layout import parse_meta


def test_meta_survives_json() -> None:
    meta = ClipMeta(("dog", "train"), 3, (0, 2), (12, 16), 16_000, 2.5, ("dog", "train", "bird"))
    assert parse_meta(json.loads(json.dumps(asdict(meta)))) == meta


def test_a_clip_stays_what_it_is() -> None:
    meta = ClipMeta(("dog",), 3, (0,), (12, 16), 16_000, 2.5)
    with pytest.raises(FrozenInstanceError):
        meta.frames = 4  # type: ignore[misc]


def test_the_ignored_label_fits_a_mask() -> None:
    assert np.iinfo(np.uint8).max == IGNORED
