"""What a run of separation wrote about each evaluated stage: the scores of its mixtures, and a few to listen to."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cavs_dist.errors import InputError
from cavs_dist.report.archive import read_arrays
from cavs_dist.report.fields import Fields
from cavs_dist.report.read import JudgedRun, Run, setting
from cavs_dist.report.stages import read_each
from cavs_dist.tasks.separation.evaluate import SCORES

RATES = range(1000, 192_001)
ARRAYS = ("keys", "classes", "truth", "estimates", "spectrogram", "masks", "ratio_masks")


@dataclass(frozen=True)
class Examples:
    """E test mixtures of two sources with what a model made of them.

    keys: of the clips. classes: [E, 2], positions in the stage's classes. truth, estimates: [E, 2, L] float16 samples.
    spectrogram: [E, F, T] float16, warped log magnitudes. masks, ratio_masks: [E, 2, F, T] float16. frames:
    [E, 2, S, S, 3] uint8, where frames were read.
    """

    keys: tuple[tuple[str, str], ...]
    classes: NDArray[np.int64]
    truth: NDArray[np.float16]
    estimates: NDArray[np.float16]
    spectrogram: NDArray[np.float16]
    masks: NDArray[np.float16]
    ratio_masks: NDArray[np.float16]
    frames: NDArray[np.uint8] | None


@dataclass(frozen=True)
class StageResult:
    """One evaluated stage. record: what `tasks/separation/evaluate.py` made of it, checked."""

    classes: tuple[str, ...]
    new: tuple[str, ...]
    protocol: str
    record: Mapping[str, Any]
    examples: Examples | None


@dataclass(frozen=True)
class SeparationRun(JudgedRun):
    """A run of separation. rate: of its waveforms, Hz."""

    rate: int
    stages: tuple[StageResult, ...]

    @property
    def brought(self) -> tuple[tuple[str, ...], ...]:
        """The classes that each stage brought."""
        return tuple(stage.new for stage in self.stages)


def judged(run: Run) -> SeparationRun:
    """Read what a run wrote about its stages. Raises InputError for anything a run does not write."""
    rate = setting(run.settings, "data.mix.rate", "11025")
    if not (rate.isdecimal() and len(rate) < 9 and int(rate) in RATES):
        expected = f"a whole number of Hz from {RATES[0]} to {RATES[-1]}"
        raise InputError(f"{run.folder / 'config.yaml'}: `data.mix.rate` is {rate}, expected {expected}")
    return SeparationRun(**vars(run), rate=int(rate), stages=read_each(run.folder / "stages", _stage))


def _stage(folder: Path, fields: Fields) -> StageResult:
    classes, new, index = fields.names("classes"), fields.names("new"), fields.integer("stage")
    if not new or classes[-len(new) :] != new or (index == 0 and classes != new):
        fields.refuse("new", "the last of `classes`, at stage 0 all of them")
    record = {
        "stage": index,
        "classes": classes,
        "new": new,
        **{score: fields.levels(score, len(classes)) for score in SCORES},
        "left_out": fields.integer("left_out"),
        "flagged": fields.integer("flagged"),
        "mixtures": [_mixture(mixture, len(classes)) for mixture in fields.objects("mixtures")],
    }
    examples = _examples(folder / "examples.npz", len(classes))
    return StageResult(classes, new, fields.text("protocol"), record, examples)


def _mixture(fields: Fields, num_classes: int) -> dict[str, Any]:
    scores = {score: fields.level_pair(score) for score in SCORES}
    return {"classes": fields.position_pair("classes", num_classes), **scores}


def _examples(path: Path, num_classes: int) -> Examples | None:
    if not path.exists():
        return None
    arrays = read_arrays(path, ARRAYS, optional=("frames",))
    keys, classes, truth, estimates, spectrogram, masks, ratio_masks = (arrays[name] for name in ARRAYS)
    pairs = (len(keys), 2)
    shapes_right = (
        keys.shape == classes.shape == pairs
        and truth.shape == estimates.shape == (*pairs, *truth.shape[2:3])
        and masks.shape == ratio_masks.shape == (*pairs, *spectrogram.shape[1:])
        and spectrogram.shape[:1] == pairs[:1]
        and spectrogram.ndim == 3
    )
    kinds = "".join(arrays[name].dtype.kind for name in ARRAYS)
    if not (shapes_right and kinds == "Uifffff" and all(array.size for array in arrays.values())):
        raise InputError(
            f"{path}: the arrays do not fit together; expected keys and classes [E,2], truth and estimates [E,2,L], "
            "spectrogram [E,F,T] and two kinds of masks [E,2,F,T]"
        )
    for name in ARRAYS[2:]:
        if not np.isfinite(arrays[name]).all():
            raise InputError(f"{path}: `{name}` holds numbers that are not finite; no run writes them")
    if classes.min() < 0 or classes.max() >= num_classes:
        raise InputError(f"{path}: `classes` holds a position that is none of the stage's {num_classes} classes")
    named = tuple(itertools.starmap(lambda one, other: (one, other), keys.tolist()))
    shown = _frames(arrays.get("frames"), pairs, path)
    return Examples(named, classes, truth, estimates, spectrogram, masks, ratio_masks, shown)


def _frames(frames: NDArray[Any] | None, pairs: tuple[int, int], path: Path) -> NDArray[np.uint8] | None:
    if frames is None:
        return None
    if frames.dtype != np.uint8 or frames.ndim != 5 or frames.shape[:2] != pairs or frames.shape[4] != 3:
        raise InputError(f"{path}: `frames` is {frames.dtype} {frames.shape}, expected uint8 [E,2,S,S,3]")
    return frames
