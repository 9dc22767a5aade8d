"""A recording as files in a folder, checked and packed into a clip for a shard."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray
from PIL import Image

from cavs_dist.data.clip import ClipMeta, Encoded, Rejected
from cavs_dist.data.decode import Limits, decode_audio, decode_frame, encode_audio
from cavs_dist.data.layout import sound_rate
from cavs_dist.data.sources.palette import encode_mask
from cavs_dist.errors import InputError

PICTURES = (".jpg", ".jpeg", ".png", ".webp")
NO_FRAME = -1
ReadMask = Callable[[bytes, tuple[int, int]], NDArray[np.uint8]]  # (file, (height, width)) -> ids [height, width]


@dataclass(frozen=True)
class Recording:
    """Where the parts of a recording should lie, as paths inside `folder`; whether they do is seen when it is packed.

    classes: names of those heard. frames: all of its folder `frames`, one a second. masks: frame number -> file,
    annotated frames only; NO_FRAME stands for a mask that belongs to none.
    """

    key: str
    folder: Path
    classes: tuple[str, ...]
    frames: tuple[str, ...]
    masks: Mapping[int, str]
    sound: str

    @property
    def files(self) -> tuple[str, ...]:
        """Every file it needs."""
        return (*self.frames, *self.masks.values(), self.sound)

    def fingerprint(self) -> list[object]:
        """Return all that its clip depends on, but for the bytes of its files, of which the sizes stand in."""
        sizes = [file_size(self.folder / name) for name in self.files]
        return [self.key, self.classes, self.files, sizes, sorted(self.masks), pictures(self.folder / "frames")]


def pictures(folder: Path) -> list[str]:
    """Return the names of the pictures in `folder`, sorted; none if there is no such folder."""
    names = (path.name for path in folder.glob("[!.]*") if path.suffix.lower() in PICTURES)
    return sorted(names)


def natural(name: str) -> list[tuple[int, str]]:
    """Return a key that sorts the numbers in names by value: frame 2 before frame 10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]


def file_size(path: Path) -> int:
    """Return the bytes of a file, -1 if there is none."""
    try:
        return path.stat().st_size
    except OSError:
        return -1


def pack(recording: Recording, read_mask: ReadMask, limits: Limits) -> Encoded | Rejected:
    """Pack a recording: frames byte for byte, masks as indexed PNGs, sound as mono 16-bit FLAC at its own rate.

    Every file is decoded once. Whatever is missing, broken or beyond `limits` rejects the recording, by name.
    """
    try:
        return _pack(recording, read_mask, limits)
    except InputError as error:
        return Rejected(recording.key, str(error))


def _pack(recording: Recording, read_mask: ReadMask, limits: Limits) -> Encoded:
    _refuse_other_frames(recording)
    data = {name: _read(recording.folder / name, name) for name in recording.files}
    size = _common_size({name: data[name] for name in recording.frames}, limits)
    members = {}
    for t, name in enumerate(recording.frames):
        with naming(name):
            decode_frame(data[name], size)
        members[f"frame.{t}{Path(name).suffix.lower()}"] = data[name]
    for t, name in recording.masks.items():
        picture_size(data[name], name, limits)
        with naming(name):
            members[f"mask.{t}.png"] = encode_mask(read_mask(data[name], size))
    with naming(recording.sound):
        waveform, rate = _waveform(data[recording.sound], limits)
    members["audio.flac"] = encode_audio(waveform, rate)
    annotated = tuple(sorted(recording.masks))
    meta = ClipMeta(recording.classes, len(recording.frames), annotated, size, rate, len(waveform) / rate)
    return Encoded(recording.key, meta, members)


def _refuse_other_frames(recording: Recording) -> None:
    """Refuse a frame too many or too few (which second each one shows is then unknown), or a mask of none."""
    found = len(pictures(recording.folder / "frames"))
    if not found or found != len(recording.frames):
        raise InputError(f"{found} frames found, {len(recording.frames) or 'at least one'} expected")
    if NO_FRAME in recording.masks:
        raise InputError(f"{recording.masks[NO_FRAME]} belongs to no frame: a mask has the name of its frame")


def _read(path: Path, name: str) -> bytes:
    if not path.exists():
        raise InputError(f"{name} is missing")
    with naming(name):
        return path.read_bytes()


@contextmanager
def naming(name: str) -> Iterator[None]:
    """Name the file that something went wrong with; a decoder in trouble may raise anything."""
    try:
        yield
    except Exception as error:
        raise InputError(f"{name}: {error}") from error


def _common_size(frames: Mapping[str, bytes], limits: Limits) -> tuple[int, int]:
    """Return the (height, width) that all frames share."""
    sizes = {name: picture_size(data, name, limits) for name, data in frames.items()}
    first, size = next(iter(sizes.items()))
    for name, other in sizes.items():
        if other != size:
            raise InputError(f"{name} is {other[0]} x {other[1]}, {first} is {size[0]} x {size[1]} (height x width)")
    if len(sizes) * size[0] * size[1] > limits.max_pixels:
        raise InputError(f"{len(sizes)} frames of {size[0]} x {size[1]} are more than {limits.max_pixels} pixels")
    return size


def picture_size(data: bytes, name: str, limits: Limits) -> tuple[int, int]:
    """Read a picture's (height, width) from its header; its pixels stay encoded."""
    with naming(name):
        width, height = Image.open(BytesIO(data), formats=("JPEG", "PNG", "WEBP")).size
    if height * width > limits.max_pixels:
        raise InputError(f"{name} is {height} x {width}, more than {limits.max_pixels} pixels")
    return height, width


def _waveform(data: bytes, limits: Limits) -> tuple[NDArray[np.float32], int]:
    """Decode a sound file to (waveform, Hz), its channels averaged."""
    rate = sound_rate(soundfile.info(BytesIO(data)).samplerate)
    waveform = decode_audio(data, rate, limits)
    if not len(waveform):
        raise InputError("it holds no samples")
    return waveform, rate
