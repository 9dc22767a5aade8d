"""What a run wrote about each evaluated stage: its scores, its confusion, and a few clips to look at."""

from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from cavs_dist.data.clip import IGNORED
from cavs_dist.errors import InputError
from cavs_dist.metrics.continual import Absent, StageScores
from cavs_dist.report.archive import read_arrays
from cavs_dist.report.fields import Fields
from cavs_dist.report.read import JudgedRun, Run, setting
from cavs_dist.report.stages import read_each


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

    @property
    def classes(self) -> tuple[str, ...]:
        """All classes seen, after background."""
        return self.scores.classes

    @property
    def new(self) -> tuple[str, ...]:
        """The classes that the stage brought."""
        return self.scores.new


@dataclass(frozen=True)
class SegmentationRun(JudgedRun):
    """A run of segmentation. absent: what a class counts that is in neither truth nor prediction."""

    absent: Absent
    stages: tuple[StageResult, ...]

    @property
    def brought(self) -> tuple[tuple[str, ...], ...]:
        """The classes that each stage brought."""
        return tuple(stage.new for stage in self.stages)


def judged(run: Run) -> SegmentationRun:
    """Read what a run wrote about its stages. Raises InputError for anything a run does not write."""
    absent = setting(run.settings, "evaluate.absent", "skip")
    if absent not in get_args(Absent):
        raise InputError(f"{run.folder / 'config.yaml'}: `evaluate.absent` is {absent}, expected skip or zero")
    stages = read_stages(run.folder / "stages")
    return SegmentationRun(**vars(run), absent="zero" if absent == "zero" else "skip", stages=stages)


def read_stages(folder: Path) -> tuple[StageResult, ...]:
    """Read `<s>/` for s = 0, 1, ... as far as evaluated. Raises InputError for anything a run does not write."""
    return read_each(folder, _stage)


def _stage(folder: Path, fields: Fields) -> StageResult:
    classes, new, index = fields.names("classes"), fields.names("new"), fields.integer("stage")
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
    keys, frames, truth, prediction = read_arrays(path, ("keys", "frames", "truth", "prediction")).values()
    shape = frames.shape[:-1]
    masks_right = all(mask.dtype == np.uint8 and mask.shape == shape for mask in (truth, prediction))
    frames_right = frames.dtype == np.uint8 and frames.ndim == 5 and frames.shape[-1] == 3 and frames.size > 0
    if not (frames_right and masks_right and keys.dtype.kind == "U" and keys.shape == shape[:1]):
        raise InputError(f"{path}: the arrays do not fit together; expected keys [E], frames [E,T,H,W,3] and two masks")
    for name, mask in (("truth", truth), ("prediction", prediction)):
        if mask[mask != IGNORED].max(initial=0) >= num_labels:
            raise InputError(f"{path}: `{name}` holds a label that is none of the stage's {num_labels} classes")
    return Examples(tuple(keys.tolist()), frames, truth, prediction)
