import io

import numpy as np
import pytest
from PIL import Image

from cavs_dist.data.decode import decode_mask
from cavs_dist.data.sources.palette import COLOURS, encode_mask, ids_of_colours


def colour(number: int) -> tuple[int, int, int]:
    """Spell out the rule of the VOC colour map, bit by bit."""
    channels = [0, 0, 0]
    for i in range(3):
        for channel in range(3):
            channels[channel] |= (number >> (3 * i + channel) & 1) << (7 - i)
    return channels[0], channels[1], channels[2]


def test_the_colours_are_those_of_voc() -> None:
    assert [tuple(row) for row in COLOURS.tolist()] == [colour(number) for number in range(256)]
    assert (colour(1), colour(41)) == ((128, 0, 0), (192, 0, 64))


@pytest.mark.parametrize("num_ids", [1, 71, 128])
def test_colours_come_back_as_their_ids_and_others_as_background(num_ids: int) -> None:
    known = {colour(number): number for number in range(num_ids)}
    levels = [0, 32, 64, 96, 128, 160, 192, 224, 1, 127, 129, 255]
    rgb = np.array([[[r, g, b] for g in levels for b in levels] for r in levels], dtype=np.uint8)
    expected = [[known.get(tuple(pixel), 0) for pixel in row] for row in rgb.tolist()]
    assert ids_of_colours(rgb, num_ids).tolist() == expected
    every = COLOURS[None, :num_ids]
    assert ids_of_colours(every, num_ids).tolist() == [list(range(num_ids))]


def test_a_mask_survives_its_png_and_shows_its_colours() -> None:
    ids = np.random.default_rng(0).integers(0, 256, (9, 14), dtype=np.uint8)
    data = encode_mask(ids)
    assert np.array_equal(decode_mask(data, (9, 14)), ids)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(data)).convert("RGB")), COLOURS[ids])
