"""A clip: decoded (`Clip`), and as it lies in a shard (`ClipMeta` and the bytes of its members)."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

IGNORED = 255


@dataclass(frozen=True)
class ClipMeta:
    """What a clip's `json` member says.

    classes: names of the classes heard, first heard first. frames: T. annotated: frames that have a mask, ascending.
    size: (height, width) of the frames, pixels. rate: of the waveform, Hz. seconds: length of the waveform.
    objects: names of everything visible, heard or not (empty if unknown).
    """

    classes: tuple[str, ...]
    frames: int
    annotated: tuple[int, ...]
    size: tuple[int, int]
    rate: int
    seconds: float
    objects: tuple[str, ...] = ()


@dataclass(frozen=True)
class Encoded:
    """A clip ready for a shard. members: file extension -> bytes, without `json`.

    `frame.0.jpg` (png, webp) ..., `mask.0.png` ... for annotated frames (8-bit, the data set's own ids), `audio.flac`
    (ogg, wav), optional `silent.0.png` ... and `source.<class>.flac`.
    """

    key: str
    meta: ClipMeta
    members: Mapping[str, bytes]


@dataclass(frozen=True)
class Rejected:
    """A clip that could not be made, and why, in words for a manifest."""

    key: str
    reason: str


@dataclass(frozen=True)
class Clip:
    """A decoded clip.

    frames: [T, H, W, 3] uint8. masks: [T, H, W] uint8, the data set's own ids (0 background, 255 ignored), 255 all over
    where a frame is not annotated. annotated: [T] bool. waveform: [samples] float32 in [-1, 1], mono, at `rate` Hz.
    classes: names of the classes heard. silent: like masks, visible objects that do not sound, for analysis only.
    sources: each class's own waveform.
    """

    key: str
    frames: NDArray[np.uint8]
    masks: NDArray[np.uint8]
    annotated: NDArray[np.bool_]
    waveform: NDArray[np.float32]
    rate: int
    classes: tuple[str, ...]
    objects: tuple[str, ...] = ()
    silent: NDArray[np.uint8] | None = None
    sources: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
