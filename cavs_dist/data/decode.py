"""Between a clip's bytes and its arrays; every header is checked against the limits before anything is decoded."""

import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import soundfile
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from cavs_dist.data.clip import IGNORED, Clip, ClipMeta, Encoded
from cavs_dist.data.index import ClipEntry
from cavs_dist.data.layout import slot
from cavs_dist.data.shard import CorruptClip, ShardReader
from cavs_dist.errors import InputError

FRAME_FORMATS = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP"}


@dataclass(frozen=True)
class Limits:
    """What a clip may cost when it is decoded; beyond, it is corrupt.

    max_pixels: of all its decoded frames together. max_seconds, max_channels: of its sound.
    """

    max_pixels: int = 1 << 26
    max_seconds: float = 120.0
    max_channels: int = 8


STANDARD_LIMITS = Limits()


def load_clip(
    reader: ShardReader, entry: ClipEntry, limits: Limits, frames: Sequence[int] | None = None, *, extras: bool = False
) -> Clip:
    """Read and decode a clip, of it only `frames` if given; silent masks and sources only with `extras`."""
    chosen = {str(t) for t in (range(entry.meta.frames) if frames is None else frames)}
    kinds = ("frame", "mask", "silent") if extras else ("frame", "mask")
    wanted = [
        extension
        for extension in entry.members
        for kind, _, name in [slot(extension).partition(".")]
        if kind == "audio" or (kind in kinds and name in chosen) or (kind == "source" and extras)
    ]
    try:
        return decode_clip(entry.key, entry.meta, reader.read(entry, wanted), limits, frames)
    except CorruptClip as error:
        raise CorruptClip(error.key, error.reason, entry.shard) from None


def load_source(
    reader: ShardReader, entry: ClipEntry, limits: Limits, frames: Sequence[int], name: str
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Read `frames`, [K, H, W, 3], and the waveform of one class of a clip: its own source's, or else the clip's."""
    by_slot = {slot(extension): extension for extension in entry.members}
    sound = f"source.{name}" if f"source.{name}" in by_slot else "audio"
    wanted = [by_slot[name] for name in (sound, *(f"frame.{t}" for t in frames)) if name in by_slot]
    if len(frames) * math.prod(entry.meta.size) > limits.max_pixels:
        size, most = entry.meta.size, limits.max_pixels
        raise CorruptClip(entry.key, f"has {len(frames)} frames of {size}, at most {most} pixels are read", entry.shard)
    try:
        parts = _Parts(entry.key, {slot(extension): data for extension, data in reader.read(entry, wanted).items()})
        pictures = [parts.decode(f"frame.{t}", decode_frame, entry.meta.size) for t in frames]
        waveform = parts.decode(sound, decode_audio, entry.meta.rate, limits)
    except CorruptClip as error:
        raise CorruptClip(error.key, error.reason, entry.shard) from None
    return np.stack(pictures) if pictures else np.empty((0, *entry.meta.size, 3), np.uint8), waveform


def load_features(reader: ShardReader, entry: ClipEntry) -> dict[str, NDArray[Any]]:
    """Read and decode the arrays `feature.<name>.npy` of a clip, by name."""
    extensions = [extension for extension in entry.members if slot(extension).startswith("feature.")]
    parts = _Parts(entry.key, {slot(name): data for name, data in reader.read(entry, extensions).items()})
    try:
        return {name.removeprefix("feature."): parts.decode(name, decode_array) for name in parts.slots}
    except CorruptClip as error:
        raise CorruptClip(error.key, error.reason, entry.shard) from None


def decode_clip(
    key: str, meta: ClipMeta, members: Mapping[str, bytes], limits: Limits, frames: Sequence[int] | None = None
) -> Clip:
    """Decode a clip's members; with `frames`, the arrays hold only these, in this order. CorruptClip if it cannot."""
    chosen = range(meta.frames) if frames is None else frames
    if len(chosen) * math.prod(meta.size) > limits.max_pixels:
        raise CorruptClip(key, f"has {len(chosen)} frames of {meta.size}, at most {limits.max_pixels} pixels are read")
    parts = _Parts(key, {slot(extension): data for extension, data in members.items()})
    sources = [name for name in parts.slots if name.startswith("source.")]
    silent = any(name.startswith("silent.") for name in parts.slots)
    return Clip(
        key=key,
        frames=np.stack([parts.decode(f"frame.{t}", decode_frame, meta.size) for t in chosen]),
        masks=np.stack([parts.mask(f"mask.{t}", meta.size, needed=t in meta.annotated) for t in chosen]),
        annotated=np.array([t in meta.annotated for t in chosen], bool),
        waveform=parts.decode("audio", decode_audio, meta.rate, limits),
        rate=meta.rate,
        classes=meta.classes,
        objects=meta.objects,
        silent=np.stack([parts.mask(f"silent.{t}", meta.size, needed=False) for t in chosen]) if silent else None,
        sources={name.removeprefix("source."): parts.decode(name, decode_audio, meta.rate, limits) for name in sources},
    )


class _Parts:
    """The members of a clip by what they are for; what is missing or does not decode is a CorruptClip that names it."""

    def __init__(self, key: str, slots: Mapping[str, bytes]) -> None:
        self.key, self.slots = key, slots

    def decode(self, name: str, decode: Callable[..., NDArray[Any]], *settings: object) -> NDArray[Any]:
        if name not in self.slots:
            raise CorruptClip(self.key, f"is incomplete: no {name}")
        try:
            return decode(self.slots[name], *settings)
        # The bytes come from outside, and a decoder in trouble may raise anything.
        except Exception as error:
            raise CorruptClip(self.key, f"has a bad {name}: {error}") from error

    def mask(self, name: str, size: tuple[int, int], *, needed: bool) -> NDArray[np.uint8]:
        if needed or name in self.slots:
            return self.decode(name, decode_mask, size)
        return np.full(size, IGNORED, np.uint8)


def decode_frame(data: bytes, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Decode a picture of any colour mode to [H, W, 3]; its header must announce `size`."""
    return np.asarray(_open_image(data, size, ("JPEG", "PNG", "WEBP")).convert("RGB"))


def decode_mask(data: bytes, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Decode an 8-bit single-channel PNG (a palette's indices count, not its colours) to [H, W]."""
    image = _open_image(data, size, ("PNG",))
    # Pillow stretches the values of grey pictures of 2 and 4 bits; byte 24 of a PNG is its bit depth.
    if image.mode not in ("L", "P") or (image.mode == "L" and data[24] != 8):
        raise InputError(f"a mask has mode {image.mode} of {data[24]} bits, expected 8-bit single channel")
    return np.asarray(image)


def decode_audio(data: bytes, rate: int, limits: Limits) -> NDArray[np.float32]:
    """Decode a flac, ogg or wav to one channel, the mean of all; its header must announce `rate` (Hz)."""
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            _refuse_audio(file.samplerate, file.frames, file.channels, rate, limits)
            samples: NDArray[np.float32] = file.read(dtype="float32")
    except soundfile.LibsndfileError as error:
        raise InputError(f"the audio cannot be decoded: {error.error_string}") from None
    if not np.isfinite(samples).all():
        raise InputError("the audio has samples that are not finite numbers")
    return samples if samples.ndim == 1 else samples.mean(axis=1)


def decode_array(data: bytes) -> NDArray[Any]:
    """Decode a plain numeric npy without its pickles; a header that announces more than there is is refused."""
    stream = io.BytesIO(data)
    headers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    shape, by_column, dtype = headers[np.lib.format.read_magic(stream)](stream)
    size = math.prod(shape) * dtype.itemsize
    if dtype.kind not in "biuf" or min(shape, default=0) < 0 or size != len(data) - stream.tell():
        raise InputError(f"an array of {dtype}, {shape} in {len(data)} bytes, expected numbers that fill the file")
    return np.frombuffer(data, dtype, offset=stream.tell()).reshape(shape, order="F" if by_column else "C")


def encode_clip(clip: Clip, *, frame_format: Literal["jpg", "png", "webp"] = "jpg", quality: int = 95) -> Encoded:
    """Encode a whole clip: frames as asked, masks as PNG where annotated, audio and sources as 16-bit FLAC."""
    annotated = tuple(int(t) for t in np.flatnonzero(clip.annotated))
    members = {f"frame.{t}.{frame_format}": _image(frame, frame_format, quality) for t, frame in enumerate(clip.frames)}
    members |= {f"mask.{t}.png": _image(clip.masks[t], "png") for t in annotated}
    if clip.silent is not None:
        members |= {f"silent.{t}.png": _image(clip.silent[t], "png") for t in annotated}
    members["audio.flac"] = encode_audio(clip.waveform, clip.rate)
    members |= {f"source.{name}.flac": encode_audio(waveform, clip.rate) for name, waveform in clip.sources.items()}
    meta = ClipMeta(
        classes=clip.classes,
        frames=len(clip.frames),
        annotated=annotated,
        size=(clip.frames.shape[1], clip.frames.shape[2]),
        rate=clip.rate,
        seconds=len(clip.waveform) / clip.rate,
        objects=clip.objects,
    )
    return Encoded(clip.key, meta, members)


def encode_audio(waveform: NDArray[np.float32], rate: int) -> bytes:
    """Encode a mono waveform in [-1, 1] (clipped outside) as 16-bit FLAC."""
    file = io.BytesIO()
    soundfile.write(file, waveform, rate, format="FLAC", subtype="PCM_16")
    return file.getvalue()


def _image(pixels: NDArray[np.uint8], extension: str, quality: int = 95) -> bytes:
    file = io.BytesIO()
    options = {"compress_level": 6} if extension == "png" else {"quality": quality}
    Image.fromarray(pixels).save(file, FRAME_FORMATS[extension], **options)
    return file.getvalue()


def _open_image(data: bytes, size: tuple[int, int], formats: tuple[str, ...]) -> Image.Image:
    try:
        image = Image.open(io.BytesIO(data), formats=formats)
    except UnidentifiedImageError:
        raise InputError(f"it is no {' or '.join(formats)} image") from None
    if (image.height, image.width) != size:
        raise InputError(f"an image of {image.height} x {image.width}, expected {size[0]} x {size[1]}")
    return image


def _refuse_audio(found: int, samples: int, channels: int, rate: int, limits: Limits) -> None:
    if found != rate:
        raise InputError(f"audio at {found} Hz, expected {rate} Hz")
    if samples > limits.max_seconds * rate or channels > limits.max_channels:
        raise InputError(
            f"audio of {samples / rate:.1f} s and {channels} channels, "
            f"at most {limits.max_seconds} s and {limits.max_channels} channels are read"
        )
