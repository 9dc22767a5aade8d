"""Draw the README's picture: a few test clips after the last stage, the truth, and what each run says of them.

python bench/picture.py RUN ... --out docs/demo.png
"""

import argparse
import json
from pathlib import Path

import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont

from cavs_dist.report.colours import class_colours
from cavs_dist.report.segmentation.evaluation import Examples, read_stages
from cavs_dist.report.segmentation.overlay import painted

SIDE, GAP, LABEL = 96, 4, 92
INK, PAPER = (40, 40, 45), (255, 255, 255)


def table_of(classes: tuple[str, ...]) -> np.ndarray:
    """Return the colour of each label, [256, 3]."""
    colours = class_colours(classes[1:])
    table = np.full((256, 3), 128, np.uint8)
    for label, name in enumerate(classes[1:], start=1):
        table[label] = ImageColor.getrgb(colours[name])
    return table


def cell(frame: np.ndarray, mask: np.ndarray, table: np.ndarray) -> Image.Image:
    """Return a frame under its mask."""
    picture = Image.fromarray(frame).resize((SIDE, SIDE), Image.Resampling.BICUBIC).convert("RGBA")
    larger = np.asarray(Image.fromarray(mask).resize((SIDE, SIDE), Image.Resampling.NEAREST))
    return Image.alpha_composite(picture, Image.fromarray(painted(larger, table)))


def draw(shown: dict[str, Examples], classes: tuple[str, ...]) -> Image.Image:
    """Draw one column a clip, at the frame where most sounds; a row for the frame, the truth, and each run."""
    first, table = next(iter(shown.values())), table_of(classes)
    rows = {"frame": np.zeros_like(first.truth), "truth": first.truth}
    rows |= {name: examples.prediction for name, examples in shown.items()}
    sounding = ((first.truth > 0) & (first.truth < len(classes))).sum(axis=(2, 3)).argmax(axis=1)
    step = SIDE + GAP
    picture = Image.new("RGB", (LABEL + len(first.keys) * step, GAP + len(rows) * step + 20), PAPER)
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(13)
    for row, (name, masks) in enumerate(rows.items()):
        pen.text((4, GAP + row * step + SIDE // 2 - 8), name, INK, font)
        for column in range(len(first.keys)):
            place = (LABEL + column * step, GAP + row * step)
            frame = sounding[column]
            picture.paste(cell(first.frames[column, frame], masks[column, frame], table).convert("RGB"), place)
    left = LABEL
    for label, name in enumerate(classes[1:], start=1):
        top = GAP + len(rows) * step + 2
        pen.rectangle((left, top + 2, left + 11, top + 13), fill=tuple(int(part) for part in table[label]))
        pen.text((left + 15, top - 1), name, INK, font)
        left += 26 + round(pen.textlength(name, font))
    return picture


def main() -> None:
    """Read the runs and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    last = {run.name: read_stages(run / "stages")[-1] for run in options.runs}
    shown = {name: stage.examples for name, stage in last.items() if stage.examples is not None}
    picture = draw(shown, next(iter(last.values())).scores.classes)
    picture.save(options.out, optimize=True)
    print(json.dumps({"bench": "picture", "file": str(options.out), "pixels": picture.size}))


if __name__ == "__main__":
    main()
