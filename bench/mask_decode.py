"""Turn RGB masks of 71 colours into ids: by table (what the converter does), and by comparing with each colour.

python bench/mask_decode.py [height] [width] [rounds]: one thread, one mask in memory, the best round counts.
"""

import json
import sys
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from cavs_dist.data.sources.avsbench import CLASSES
from cavs_dist.data.sources.palette import COLOURS, ids_of_colours

Mask = NDArray[np.uint8]
NUM_IDS = 1 + len(CLASSES)


def by_table(rgb: Mask) -> Mask:
    """Look every channel's value up."""
    return ids_of_colours(rgb, NUM_IDS)


def each_colour(rgb: Mask) -> Mask:
    """Compare all three channels of every pixel with each of the colours."""
    ids = np.zeros(rgb.shape[:2], np.uint8)
    for number, colour in enumerate(COLOURS[:NUM_IDS]):
        ids[(rgb == colour).all(axis=-1)] = number
    return ids


def each_packed_colour(rgb: Mask) -> Mask:
    """Compare with each of the colours too, but with a pixel's channels packed into one number."""
    packed = rgb.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
    ids = np.zeros(rgb.shape[:2], np.uint8)
    for number, (red, green, blue) in enumerate(COLOURS[:NUM_IDS].tolist()):
        ids[packed == (red << 16 | green << 8 | blue)] = number
    return ids


def best_seconds(decode: Callable[[Mask], Mask], rgb: Mask, truth: Mask, rounds: int) -> float:
    """Time `decode`, and check what it gives."""
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        ids = decode(rgb)
        seconds.append(time.perf_counter() - start)
        assert np.array_equal(ids, truth)
    return min(seconds)


def main(height: int = 720, width: int = 1280, rounds: int = 5) -> None:
    """Time the three on a mask of background and a few rectangles, as masks are."""
    rng = np.random.default_rng(0)
    truth = np.zeros((height, width), np.uint8)
    for number in rng.integers(1, NUM_IDS, 4):
        top, left = rng.integers(0, height // 2), rng.integers(0, width // 2)
        truth[top : top + height // 3, left : left + width // 3] = number
    rgb = COLOURS[truth]
    seconds = {f.__name__: best_seconds(f, rgb, truth, rounds) for f in (by_table, each_colour, each_packed_colour)}
    for name, one in seconds.items():
        print(f"{name:18} {1000 * one:8.2f} ms a mask, {one / seconds['by_table']:6.1f} x the table's time")
    speedup = seconds["each_colour"] / seconds["by_table"]
    figures = {f"{name}_ms": round(1000 * one, 3) for name, one in seconds.items()}
    print(json.dumps({"bench": "mask_decode", "size": [height, width], **figures, "speedup": round(speedup, 1)}))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
