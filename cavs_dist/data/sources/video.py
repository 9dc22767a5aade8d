"""Sound and pictures of a video file; the one module that knows PyAV, which is installed only where videos are read."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cavs_dist.errors import InputError

Shown = TypeVar("Shown")


def refuse_without_pyav() -> None:
    """Raise InputError unless videos can be decoded here."""
    try:
        import av  # noqa: F401
    except ImportError:
        raise InputError("videos are decoded by PyAV, which is not installed: pip install 'cavs_dist[video]'") from None


def read_video_sound(path: Path, seconds: int) -> tuple[NDArray[np.float32], int]:
    """Decode the first `seconds` of the first sound track: one channel [samples], the mean of all, and its rate, Hz."""
    import av

    with av.open(str(path)) as container:
        if not container.streams.audio:
            raise InputError("it has no sound")
        planar = av.AudioResampler(format="fltp")  # the track's own channels and rate, as [channels, samples]
        parts: list[NDArray[np.float32]] = []
        rate = count = 0
        for frame in container.decode(audio=0):
            parts += [one.to_ndarray().mean(axis=0) for one in planar.resample(frame)]
            rate, count = frame.sample_rate, count + frame.samples
            if count >= seconds * rate:
                break
    if not parts:
        raise InputError("it holds no samples")
    return np.concatenate(parts)[: seconds * rate], rate


def read_video_pictures(path: Path, seconds: int) -> Iterator[Image.Image]:
    """Decode the picture shown in the middle of each of the first `seconds`, one at a time."""
    import av

    with av.open(str(path)) as container:
        if not container.streams.video:
            raise InputError("it has no pictures")
        stream = container.streams.video[0]
        last = 1 / float(stream.average_rate or 1)
        timed = ((frame.time, frame) for frame in container.decode(stream))
        for frame in in_the_middle(timed, last, seconds):
            yield frame.to_image()


def in_the_middle(timed: Iterable[tuple[float, Shown]], last: float, seconds: int) -> Iterator[Shown]:
    """Pick what is shown at 0.5, 1.5 ... s, below `seconds`, from (start in seconds, picture), in order of start.

    Each picture is shown until the next one starts, the last one for `last` seconds; the first one from 0 on.
    """
    shown: list[Shown] = []
    second, start = 0, 0.0
    for start, picture in timed:
        while shown and second + 0.5 < start:
            if second == seconds:
                return
            yield shown[0]
            second += 1
        shown = [picture]
    while shown and second < seconds and second + 0.5 < start + last:
        yield shown[0]
        second += 1
