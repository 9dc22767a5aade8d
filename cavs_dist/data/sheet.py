"""The contact sheet: a few clips of a split as one picture, their masks drawn over the frames."""

import colorsys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from cavs_dist.data.clip import IGNORED, Clip
from cavs_dist.data.decode import STANDARD_LIMITS, Limits, load_clip
from cavs_dist.data.index import ClipEntry, Location, read_split
from cavs_dist.data.shard import ShardReader
from cavs_dist.randomness import keyed_hash

CELL = 128
GAP = 6
MOST_CELLS = 16
LABEL = 190
TINT = 0.45
BACKDROP = (24, 24, 27)
INK = (235, 235, 235)


def contact_sheet(
    folder: Location, split: str, out_png: Path, rows: int = 12, limits: Limits = STANDARD_LIMITS
) -> tuple[str, ...]:
    """Draw `rows` clips of a split, one a row, as many classes as possible; return their keys.

    A clip of more than 16 frames is drawn by 16 of them, evenly spread.
    What sounds is tinted and outlined in its class's colour, what is ignored in grey; a frame without a mask stays dim.
    """
    indexes = read_split(folder, split)
    names = indexes[0].names
    chosen = sample([clip for index in indexes for clip in index.clips], rows)
    reader = ShardReader()
    clips = [load_clip(reader, entry, limits, spread(entry.meta.frames)) for entry in chosen]
    reader.close()
    width = LABEL + max(len(clip.frames) for clip in clips) * (CELL + GAP) + GAP
    sheet = Image.new("RGB", (width, len(clips) * (CELL + GAP) + GAP), BACKDROP)
    for row, clip in enumerate(clips):
        _draw_row(sheet, GAP + row * (CELL + GAP), clip, names)
    sheet.save(out_png)
    return tuple(clip.key for clip in clips)


def spread(frames: int) -> list[int]:
    """Choose at most 16 of the numbers 0 .. frames - 1, evenly spread, with the first and the last."""
    return sorted({round(place) for place in np.linspace(0, frames - 1, min(frames, MOST_CELLS))})


def sample(clips: Sequence[ClipEntry], count: int) -> list[ClipEntry]:
    """Take clips in turn from each class (the first heard), in an order that depends on the keys alone."""
    groups: dict[str, list[ClipEntry]] = defaultdict(list)
    for clip in sorted(clips, key=lambda clip: keyed_hash("sheet", clip.key)):
        groups[next(iter(clip.meta.classes), "")].append(clip)
    turns = zip_longest(*(groups[name] for name in sorted(groups)))
    return [clip for turn in turns for clip in turn if clip][:count]


def colour(number: int) -> tuple[int, int, int]:
    """Return the colour of a mask id: hues a golden angle apart, so that neighbours differ; grey for the ignored."""
    if number == IGNORED:
        return (150, 150, 150)
    red, green, blue = colorsys.hsv_to_rgb(number * 0.618034 % 1.0, 0.65, 1.0)
    return round(red * 255), round(green * 255), round(blue * 255)


def overlay(frame: NDArray[np.uint8], mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Tint [H, W, 3] by the ids of [H, W], and outline each region in full colour."""
    edges = np.zeros(mask.shape, bool)
    for one, other in ((np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1])):
        edges[one] |= mask[one] != mask[other]
        edges[other] |= mask[one] != mask[other]
    drawn = frame.astype(np.float32)
    for number in np.unique(mask[mask != 0]):
        region = mask == number
        strength = np.where(edges, 1.0, TINT)[region, None]
        drawn[region] = (1 - strength) * drawn[region] + strength * np.array(colour(int(number)))
    return drawn.round().astype(np.uint8)


def _draw_row(sheet: Image.Image, top: int, clip: Clip, names: Mapping[int, str]) -> None:
    ids = {name: number for number, name in names.items()}
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    draw.text((GAP, top), clip.key[:28], INK, font)
    for line, name in enumerate(clip.classes, start=1):
        draw.text((GAP, top + 18 * line), name, colour(ids.get(name, IGNORED)), font)
    for t, (frame, mask) in enumerate(zip(clip.frames, clip.masks, strict=True)):
        picture = _cell(frame, mask if clip.annotated[t] else None)
        sheet.paste(picture, (LABEL + t * (CELL + GAP), top))


def _cell(frame: NDArray[np.uint8], mask: NDArray[np.uint8] | None) -> Image.Image:
    height, width = frame.shape[:2]
    scale = CELL / max(height, width)
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    picture = np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BICUBIC))
    if mask is None:
        return Image.fromarray(picture // 2)
    return Image.fromarray(overlay(picture, np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST))))
