"""Filmstrips of clips and of the masks over them, as images inside the page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor

from cavs_dist.data.clip import IGNORED
from cavs_dist.report.embed import picture
from cavs_dist.report.segmentation.evaluation import Examples, StageResult

MOST_CLIPS = 8
MOST_FRAMES = 5
FRAME_HEIGHT = 120
INSIDE, EDGE = 165, 255
Strip = NDArray[np.uint8]


@dataclass(frozen=True)
class Row:
    """A strip of masks to lay over the frames: whose it is, the image, and the names of the classes in it."""

    label: str
    mask: str
    classes: tuple[str, ...]


@dataclass(frozen=True)
class ExampleView:
    """A clip: its frames side by side as one image, then truth and every run's prediction.

    count: of frames. width, height: of each image, pixels.
    """

    key: str
    frames: str
    rows: tuple[Row, ...]
    count: int
    width: int
    height: int

    @property
    def classes(self) -> set[str]:
        """The names of all classes in truth and predictions."""
        return {name for row in self.rows for name in row.classes}


def example_views(stages: Mapping[str, StageResult], colours: Mapping[str, str]) -> list[ExampleView]:
    """Show the clips that the runs kept after one stage: run name -> that stage's result."""
    kept = {name: stage for name, stage in stages.items() if stage.examples is not None}
    keys = dict.fromkeys(key for stage in kept.values() for key in _examples(stage).keys)
    return [_view(key, kept, colours) for key in list(keys)[:MOST_CLIPS]]


def _view(key: str, stages: Mapping[str, StageResult], colours: Mapping[str, str]) -> ExampleView:
    having = {name: stage for name, stage in stages.items() if key in _examples(stage).keys}
    first = next(iter(having.values()))
    clip = _examples(first).keys.index(key)
    shown = _some(_examples(first).frames[clip])
    frames = np.hstack([_resized(frame, Image.Resampling.BICUBIC) for frame in shown])
    rows = [_row("truth", _examples(first).truth[clip], first.scores.classes, colours)]
    for name, stage in having.items():
        prediction = _examples(stage).prediction[_examples(stage).keys.index(key)]
        rows.append(_row(name, prediction, stage.scores.classes, colours))
    return ExampleView(
        key, picture(Image.fromarray(frames), "JPEG"), tuple(rows), len(shown), frames.shape[1], frames.shape[0]
    )


def _row(label: str, masks: Strip, classes: Sequence[str], colours: Mapping[str, str]) -> Row:
    shown = _some(masks)
    labels = [label for label in np.unique(shown).tolist() if label not in (0, IGNORED)]
    table = np.zeros((256, 3), np.uint8)
    table[IGNORED] = 128
    for number in labels:
        table[number] = ImageColor.getrgb(colours[classes[number]])
    strip = np.hstack([painted(_resized(mask, Image.Resampling.NEAREST), table) for mask in shown])
    return Row(label, picture(Image.fromarray(strip), "PNG"), tuple(classes[number] for number in labels))


def painted(mask: Strip, table: Strip) -> Strip:
    """Return [H, W, 4]: background clear, regions in their colour of `table` [256, 3] with an edge, ignored hatched."""
    edge = np.zeros(mask.shape, bool)
    for axis in (0, 1):
        step = np.diff(mask.astype(np.int16), axis=axis) != 0
        edge |= np.pad(step, [(0, 1) if axis == along else (0, 0) for along in (0, 1)])
        edge |= np.pad(step, [(1, 0) if axis == along else (0, 0) for along in (0, 1)])
    rows, columns = np.indices(mask.shape)
    hatch = np.where((rows + columns) // 3 % 3 == 0, INSIDE, 0)
    inside = np.where(mask == IGNORED, hatch, np.where(edge, EDGE, INSIDE))
    alpha = np.where(mask == 0, 0, inside).astype(np.uint8)
    return np.concatenate([table[mask], alpha[:, :, None]], axis=2)


def _examples(stage: StageResult) -> Examples:
    assert stage.examples is not None
    return stage.examples


def _some(frames: Strip) -> Strip:
    """Return at most five of T frames, evenly spread."""
    places = np.linspace(0, len(frames) - 1, min(len(frames), MOST_FRAMES)).round()
    return np.stack([frames[int(place)] for place in places])


def _resized(image: Strip, how: Image.Resampling) -> Strip:
    height, width = image.shape[:2]
    size = (max(1, round(width * FRAME_HEIGHT / height)), FRAME_HEIGHT)
    return np.asarray(Image.fromarray(image).resize(size, how))
