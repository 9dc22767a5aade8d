"""The colour map of PASCAL VOC: mask ids as colours, colours back to ids by table, masks as indexed PNGs."""

from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

UNKNOWN = 128


def _colours() -> NDArray[np.uint8]:
    """Return the colour map [256, 3]: bit k of an id, counted from the least, is bit 7 - k // 3 of channel k % 3."""
    ids = np.arange(256)
    colours = np.zeros((256, 3), dtype=np.uint8)
    for bit in range(8):
        colours[:, bit % 3] |= ((ids >> bit & 1) << (7 - bit // 3)).astype(np.uint8)
    return colours


def _tables() -> NDArray[np.uint8]:
    """Return [3, 256]: the bits of an id below 128 that a channel's value spells, UNKNOWN for a value of no such id."""
    tables = np.full((3, 256), UNKNOWN, dtype=np.uint8)
    for channel, spelled in enumerate((0b1001001, 0b0010010, 0b0100100)):
        tables[channel, COLOURS[:UNKNOWN, channel]] = np.arange(UNKNOWN) & spelled
    return tables


COLOURS = _colours()
RED, GREEN, BLUE = _tables()


def ids_of_colours(rgb: NDArray[np.uint8], num_ids: int) -> NDArray[np.uint8]:
    """Turn colours [H, W, 3] into the ids [H, W] below `num_ids` (at most 128); any other colour is background, 0."""
    ids: NDArray[np.uint8] = RED.take(rgb[..., 0])
    ids |= GREEN.take(rgb[..., 1])
    ids |= BLUE.take(rgb[..., 2])
    ids[ids >= num_ids] = 0
    return ids


def encode_mask(ids: NDArray[np.uint8]) -> bytes:
    """Encode ids [H, W] as an 8-bit indexed PNG, which any viewer shows in the colours above."""
    image = Image.fromarray(ids, mode="P")
    image.putpalette(COLOURS.tobytes())
    buffer = BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()
