from pathlib import Path

import numpy as np
from PIL import Image

from cavs_dist.data.index import read_split
from cavs_dist.data.sheet import BACKDROP, CELL, GAP, LABEL, colour, contact_sheet, overlay, sample, spread


def test_one_row_a_clip_one_cell_a_frame(data_set: Path, tmp_path: Path) -> None:
    keys = contact_sheet(data_set, "train", tmp_path / "sheet.png", rows=4)
    assert len(set(keys)) == 4
    assert keys == contact_sheet(data_set, "train", tmp_path / "again.png", rows=4)
    picture = np.asarray(Image.open(tmp_path / "sheet.png"))
    assert picture.shape == (GAP + 4 * (CELL + GAP), LABEL + 3 * (CELL + GAP) + GAP, 3)
    for row in range(4):
        for t in range(3):
            top, left = GAP + row * (CELL + GAP), LABEL + t * (CELL + GAP)
            assert (picture[top : top + 96, left : left + CELL] != BACKDROP).any(axis=-1).mean() > 0.99


def test_classes_take_turns(data_set: Path) -> None:
    clips = [clip for index in read_split(data_set, "train") for clip in index.clips]
    assert len(sample(clips, 3)) == 3 and len(sample(clips, 99)) == 5
    assert sample(clips, 3) == sample(clips[::-1], 3)


def test_long_clips_are_drawn_by_frames_that_spread_evenly() -> None:
    assert spread(1) == [0] and spread(16) == list(range(16))
    chosen = spread(600)
    assert (len(chosen), chosen[0], chosen[-1]) == (16, 0, 599)
    assert set(np.diff(chosen)) <= {39, 40}


def test_overlay_tints_regions_and_draws_their_edges() -> None:
    frame, mask = np.zeros((6, 8, 3), np.uint8), np.zeros((6, 8), np.uint8)
    mask[2:5, 3:7] = 5
    drawn = overlay(frame, mask)
    assert not drawn[mask == 0].any()
    for corner in ((2, 3), (2, 6), (4, 3), (4, 6)):
        np.testing.assert_array_equal(drawn[corner], colour(5))
    np.testing.assert_allclose(drawn[3, 5], 0.45 * np.array(colour(5)), atol=0.51)


def test_colours_differ() -> None:
    assert len({colour(number) for number in range(1, 71)}) == 70
