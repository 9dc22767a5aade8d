"""A solo video, as extracted files or as a video, cut and packed into a clip without masks."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray
from PIL import Image

from cavs_dist.data.audio import resample
from cavs_dist.data.clip import ClipMeta, Encoded, Rejected
from cavs_dist.data.decode import STANDARD_LIMITS, decode_array, encode_audio
from cavs_dist.data.layout import sound_rate
from cavs_dist.data.sources.recording import file_size, naming, natural, picture_size, pictures
from cavs_dist.data.sources.video import read_video_pictures, read_video_sound
from cavs_dist.errors import InputError

RATE = 11_025
SOUNDS = (".wav", ".mp3", ".flac", ".ogg")
SECONDS_APART = 5.0  # sound and pictures of a download end together to a second or two; a wrong `fps` tears them apart
JPEG_QUALITY = 95
BY_FRAME = "object"  # the feature that has a row for each frame


@dataclass(frozen=True)
class Cut:
    """What of a video becomes its clip: the first `seconds`, its frames with a short side of `size` pixels.

    fps: of the extracted pictures; the clip has one frame a second, that of the middle of the second.
    """

    size: int = 224
    fps: float = 1.0
    seconds: int = int(STANDARD_LIMITS.max_seconds)

    def __post_init__(self) -> None:
        for name, value in (("size", self.size), ("fps", self.fps), ("seconds", self.seconds)):
            if not 1 <= value < math.inf:
                raise InputError(f"{name} is {value}, expected at least 1")


@dataclass(frozen=True)
class Solo:
    """Where the parts of a video lie; None where there is nothing.

    sound: a sound file or the video. frames: a folder of pictures, in the order of their numbers, or the video.
    features: name -> npy file.
    """

    key: str
    classes: tuple[str, ...]
    sound: Path | None
    frames: Path | None
    features: Mapping[str, Path]

    @property
    def needs_decoding(self) -> bool:
        """Whether a part of it lies in a video file."""
        return any(path and path.is_file() and path.suffix.lower() not in SOUNDS for path in (self.sound, self.frames))

    def fingerprint(self) -> list[object]:
        """Return all that its clip depends on, but for the bytes of its files, of which the sizes stand in."""
        files = [path for path in (self.sound, self.frames, *self.features.values()) if path]
        if self.frames and self.frames.is_dir():
            files += [self.frames / name for name in pictures(self.frames)]
        sizes = [(path.name, file_size(path)) for path in files if not path.is_dir()]
        return [self.key, self.classes, list(self.features), sizes]


def pack_solo(solo: Solo, cut: Cut) -> Encoded | Rejected:
    """Pack a video: JPEG frames at 1 fps, sound as mono 16-bit FLAC at 11,025 Hz, features as they are.

    Whatever is missing, broken or too large rejects the video, by the name of the file.
    """
    try:
        return _pack(solo, cut)
    except InputError as error:
        return Rejected(solo.key, str(error))


def _pack(solo: Solo, cut: Cut) -> Encoded:
    if not solo.sound or not solo.frames:
        missing = [name for name, path in (("sound", solo.sound), ("frames", solo.frames)) if not path]
        raise InputError(f"no {' and no '.join(missing)} found, and no video")
    with naming(solo.sound.name):
        waveform, lasting = _sound(solo.sound, cut.seconds)
    with naming(solo.frames.name):
        if solo.frames.is_dir():
            _refuse_apart(solo.frames, lasting, cut.fps)
        frames, size = _encode(_images(solo.frames, cut), cut.size)
    members = {f"frame.{t}.jpg": frame for t, frame in enumerate(frames)}
    members["audio.flac"] = encode_audio(waveform, RATE)
    for name, path in solo.features.items():
        with naming(f"features/{name}/{path.name}"):
            members[f"feature.{name}.npy"] = _feature(path, name, len(frames), cut.seconds)
    meta = ClipMeta(solo.classes, len(frames), (), size, RATE, len(waveform) / RATE)
    return Encoded(solo.key, meta, members)


def _sound(path: Path, seconds: int) -> tuple[NDArray[np.float32], float]:
    """Return the first `seconds` of the sound at 11,025 Hz, and how long all of it is (of a video: what was read)."""
    if path.suffix.lower() in SOUNDS:
        with soundfile.SoundFile(path) as file:
            rate, lasting = sound_rate(file.samplerate), file.frames / file.samplerate
            if file.channels > STANDARD_LIMITS.max_channels:
                raise InputError(f"it has {file.channels} channels, at most {STANDARD_LIMITS.max_channels} are read")
            samples = file.read(seconds * rate, dtype="float32", always_2d=True).mean(axis=1)
    else:
        samples, rate = read_video_sound(path, seconds)
        rate, lasting = sound_rate(rate), len(samples) / rate
    if not len(samples):
        raise InputError("it holds no samples")
    if not np.isfinite(samples).all():
        raise InputError("it has samples that are not finite numbers")
    return resample(samples, rate, RATE)[: seconds * RATE], lasting


def _refuse_apart(folder: Path, lasting: float, fps: float) -> None:
    """Refuse pictures that last much longer or shorter than the sound: they are of another rate, or not all there."""
    count = len(pictures(folder))
    if abs(count / fps - lasting) > SECONDS_APART:
        raise InputError(
            f"its {count} pictures at {fps:g} fps last {count / fps:.0f} s, the sound {lasting:.0f} s: check fps"
        )


def _images(frames: Path, cut: Cut) -> Iterator[Image.Image]:
    """Give the picture of the middle of each second; fewer than `cut.seconds` where the pictures end before."""
    if not frames.is_dir():
        yield from read_video_pictures(frames, cut.seconds)
        return
    names = sorted(pictures(frames), key=natural)
    places = (int((second + 0.5) * cut.fps) for second in range(cut.seconds))
    for name in (names[place] for place in places if place < len(names)):
        with naming(name):
            data = (frames / name).read_bytes()
            picture_size(data, name, STANDARD_LIMITS)
            yield Image.open(BytesIO(data)).convert("RGB")


def _encode(images: Iterator[Image.Image], short_side: int) -> tuple[list[bytes], tuple[int, int]]:
    """Resize frames of one size to the short side; return them as JPEGs, and their (height, width)."""
    frames: list[bytes] = []
    source = target = (0, 0)
    for image in images:
        if not frames:
            source, scale = image.size, short_side / min(image.size)
            target = (round(image.width * scale), round(image.height * scale))
        if image.size != source:
            raise InputError(f"frame {len(frames)} is of {image.size} pixels, the first of {source} (width, height)")
        file = BytesIO()
        image.resize(target, Image.Resampling.BICUBIC).save(file, "JPEG", quality=JPEG_QUALITY)
        frames.append(file.getvalue())
        if len(frames) * target[0] * target[1] > STANDARD_LIMITS.max_pixels:
            raise InputError(f"{len(frames)} frames of {target} are over {STANDARD_LIMITS.max_pixels} pixels: cut more")
    if not frames:
        raise InputError("no frames found, at least one expected")
    return frames, target[::-1]


def _feature(path: Path, name: str, frames: int, seconds: int) -> bytes:
    """Read a feature; of the one that goes by frame, the rows of the frames that are kept."""
    data = path.read_bytes()
    array = decode_array(data)
    if name != BY_FRAME:
        return data
    rows = array.shape[0] if array.ndim else 0
    if rows < frames or (rows > frames and frames < seconds):
        raise InputError(f"it has {rows} rows, expected {frames}, one a frame")
    file = BytesIO()
    np.save(file, array[:frames])
    return file.getvalue()
