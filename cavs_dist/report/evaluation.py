"""What a run wrote about each evaluated stage: its scores, its confusion, and a few clips to look at."""

import itertools
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cavs_dist.data.clip import IGNORED
from cavs_dist.errors import InputError
from cavs_dist.metrics.continual import StageScores
from cavs_dist.report.fields import Fields, parse_object, read_text

FORMAT = 1
MOST_EXAMPLE_BYTES = 1 << 30


@dataclass(frozen=True)
class Examples:
    """A few test clips with what a model made of them.

    frames: [E, T, H, W, 3] uint8. truth, prediction: [E, T, H, W] uint8, label i is the stage's class i, 255 ignored.
    """

    keys: tuple[str, ...]
    frames: NDArray[np.uint8]
    truth: NDArray[np.uint8]
    prediction: NDArray[np.uint8]


@dataclass(frozen=True)
class StageResult:
    """One evaluated stage. confusion: [K, K] pixels, rows are the truth."""

    scores: StageScores
    protocol: str
    confusion: NDArray[np.int64]
    clips: int
    examples: Examples | None


def read_stages(folder: Path) -> tuple[StageResult, ...]:
    """Read `stages/<s>/` for s = 0, 1, ... as far as evaluated. Raises InputError for anything a run does not write."""
    indices = sorted(int(path.parent.name) for path in folder.glob("*/evaluation.json") if path.parent.name.isdecimal())
    if indices != list(range(len(indices))):
        raise InputError(f"{folder} has evaluations of stages {indices}: one is missing; evaluate the run again")
    stages = tuple(_stage(folder / str(index), index) for index in indices)
    for before, after in itertools.pairwise(stages):
        if after.scores.classes != before.scores.classes + after.scores.new:
            raise InputError(
                f"{folder}: the classes of stage {after.scores.stage} are not those of the stage before it and its new "
                "ones; the files belong to different runs"
            )
    return stages


def _stage(folder: Path, index: int) -> StageResult:
    path = folder / "evaluation.json"
    fields = Fields(parse_object(read_text(path), str(path)), str(path))
    if fields.integer("format") != FORMAT:
        fields.refuse("format", f"{FORMAT}; a newer cavs_dist reads newer files")
    if fields.integer("stage") != index:
        fields.refuse("stage", f"{index}, like its folder")
    classes, new = fields.names("classes"), fields.names("new")
    if classes[:1] != ("background",):
        fields.refuse("classes", "a list that begins with background")
    if not new or classes[-len(new) :] != new or (index == 0 and len(classes) != 1 + len(new)):
        fields.refuse("new", "the last of `classes`, at stage 0 all but background")
    side = len(classes)
    scores = StageScores(
        stage=index,
        classes=classes,
        new=new,
        iou=fields.shares("iou", side),
        avsbench_iou=fields.shares("avsbench_iou", side),
        fscore=fields.shares("fscore", side),
    )
    return StageResult(
        scores=scores,
        protocol=fields.text("protocol"),
        confusion=fields.counts("confusion", side),
        clips=fields.integer("clips"),
        examples=_examples(folder / "examples.npz", side),
    )


def _examples(path: Path, num_labels: int) -> Examples | None:
    if not path.exists():
        return None
    keys, frames, truth, prediction = _arrays(path)
    shape = frames.shape[:-1]
    masks_right = all(mask.dtype == np.uint8 and mask.shape == shape for mask in (truth, prediction))
    frames_right = frames.dtype == np.uint8 and frames.ndim == 5 and frames.shape[-1] == 3 and frames.size > 0
    if not (frames_right and masks_right and keys.dtype.kind == "U" and keys.shape == shape[:1]):
        raise InputError(f"{path}: the arrays do not fit together; expected keys [E], frames [E,T,H,W,3] and two masks")
    for name, mask in (("truth", truth), ("prediction", prediction)):
        if mask[mask != IGNORED].max(initial=0) >= num_labels:
            raise InputError(f"{path}: `{name}` holds a label that is none of the stage's {num_labels} classes")
    return Examples(tuple(keys.tolist()), frames, truth, prediction)


def _arrays(path: Path) -> list[NDArray[Any]]:
    """Return the arrays of a clip file. A damaged archive fails in many ways, and all of them mean the same."""
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > MOST_EXAMPLE_BYTES:
            raise ValueError(f"it unpacks to more than {MOST_EXAMPLE_BYTES >> 30} GiB")
        with np.load(path, allow_pickle=False) as arrays:
            return [arrays[name] for name in ("keys", "frames", "truth", "prediction")]
    except Exception as error:
        raise InputError(f"{path} is damaged or was not written by a run ({error})") from error
