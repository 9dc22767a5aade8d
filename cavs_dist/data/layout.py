"""What a clip in a shard must look like: its key, the names of its members, and what its `json` member says."""

import math
import re
from collections.abc import Collection, Mapping
from typing import TypeVar

from cavs_dist.data.clip import ClipMeta
from cavs_dist.errors import InputError

LONGEST_KEY = 200
MOST_FRAMES = 100_000
LONGEST_SIDE = 65_535
FASTEST_RATE = 384_000
MOST_PHASES = 2_000
LONGEST_SECONDS = 1_000_000

# The allow-list: nothing else is read from a shard, and nothing in this list can run when it is decoded.
_NUMBER = "(?:0|[1-9][0-9]{0,5})"
_NAME = r"[\w-][\w -]{0,63}"
_MEMBER = re.compile(
    rf"json|frame\.{_NUMBER}\.(?:jpg|jpeg|png|webp)|(?:mask|silent)\.{_NUMBER}\.png"
    rf"|(?:audio|source\.{_NAME})\.(?:flac|ogg|wav)|feature\.{_NAME}\.npy"
)
_EXTRAS = ("silent", "source", "feature")
Value = TypeVar("Value")


def slot(extension: str) -> str:
    """Return what a member is for, whatever its format: `frame.3.jpg` and `frame.3.png` both fill `frame.3`."""
    return extension.rpartition(".")[0] or extension


def by_slot(extensions: Collection[str]) -> dict[str, str]:
    """Map each slot to the extension that fills it; refuse a slot that is filled twice."""
    slots: dict[str, str] = {}
    for extension in extensions:
        other = slots.setdefault(slot(extension), extension)
        if other != extension:
            raise InputError(f"members {other!r} and {extension!r} are the same thing twice: keep one")
    return slots


def refuse_key(key: str) -> None:
    """Raise InputError unless `key` can be the part of a file name before the first dot."""
    if not 0 < len(key) <= LONGEST_KEY or not key.isprintable() or set("./\\") & set(key):
        raise InputError(
            f"key {key[:60]!r} of {len(key)} characters: expected 1 to {LONGEST_KEY} printable ones, no dot or slash"
        )


def refuse_extension(extension: str) -> None:
    """Raise InputError unless `extension` is on the allow-list."""
    if not _MEMBER.fullmatch(extension):
        raise InputError(
            f"member {extension[:60]!r} is not allowed in a shard: expected json, frame.N.(jpg|jpeg|png|webp), "
            "mask.N.png, silent.N.png, audio.(flac|ogg|wav), source.NAME.(flac|ogg|wav) or feature.NAME.npy"
        )


def refuse_incomplete(meta: ClipMeta, extensions: Collection[str]) -> None:
    """Raise InputError unless `extensions` (with `json`) are the members that `meta` announces, and only those."""
    for extension in extensions:
        refuse_extension(extension)
    slots = by_slot(extensions)
    expected = {"json", "audio", *(f"frame.{t}" for t in range(meta.frames)), *(f"mask.{t}" for t in meta.annotated)}
    missing = sorted(expected - slots.keys())
    if missing:
        raise InputError(f"is incomplete: no {', '.join(missing[:5])}{' ...' if len(missing) > 5 else ''}")
    for name in sorted(slots.keys() - expected):
        kind, _, number = name.partition(".")
        if kind not in _EXTRAS or (kind == "silent" and int(number) >= meta.frames):
            raise InputError(
                f"member {slots[name]!r} is not among its {meta.frames} frames, annotated {meta.annotated}"
            )


def field(record: object, name: str, kind: type[Value]) -> Value:
    """Return `record[name]`, which must be there and of exactly this type: a bool is not an int."""
    value = record.get(name) if isinstance(record, Mapping) else None
    if type(value) is not kind:
        raise InputError(f"{name!r} is {repr(value)[:60]}, expected {kind.__name__}")
    return value


def whole(value: object, low: int, high: int, name: str) -> int:
    """Return `value`, which must be an int in low..high."""
    if type(value) is not int or not low <= value <= high:
        raise InputError(f"{name!r} is {repr(value)[:60]}, expected a whole number from {low} to {high}")
    return value


def digest(value: object) -> str:
    """Return `value`, which must be a SHA-256 in hexadecimal."""
    if not isinstance(value, str) or not re.fullmatch("[0-9a-f]{64}", value):
        raise InputError(f"'sha256' is {repr(value)[:80]}, expected 64 hexadecimal digits")
    return value


def distinct_names(values: object, what: str) -> tuple[str, ...]:
    """Return `values`, which must be a list of different, printable, non-empty names."""
    if not isinstance(values, list) or not all(isinstance(one, str) and one and one.isprintable() for one in values):
        raise InputError(f"{what!r} is {repr(values)[:60]}, expected a list of names")
    if len(set(values)) != len(values):
        raise InputError(f"{what!r} names something twice: {repr(values)[:120]}")
    return tuple(values)


def parse_meta(record: object) -> ClipMeta:
    """Read what a clip's `json` says; fields that are not ours are left alone."""
    if not isinstance(record, dict):
        raise InputError(f"it is {repr(record)[:60]}, expected an object")
    frames = whole(field(record, "frames", int), 1, MOST_FRAMES, "frames")
    annotated = tuple(whole(t, 0, frames - 1, "annotated") for t in field(record, "annotated", list))
    size = tuple(whole(side, 1, LONGEST_SIDE, "size") for side in field(record, "size", list))
    if list(annotated) != sorted(set(annotated)):
        raise InputError(f"'annotated' is {repr(list(annotated))[:60]}, expected frames in ascending order, each once")
    if len(size) != 2:
        raise InputError(f"'size' is {repr(size)[:60]}, expected [height, width]")
    return ClipMeta(
        classes=distinct_names(record.get("classes"), "classes"),
        frames=frames,
        annotated=annotated,
        size=size,
        rate=sound_rate(record.get("rate")),
        seconds=_seconds(record.get("seconds")),
        objects=distinct_names(record.get("objects", []), "objects"),
    )


def sound_rate(value: object) -> int:
    """Return a sampling rate, Hz; InputError for one that has too little in common with 16 kHz.

    A resampler holds as many filters as the smaller terms of the ratio say: some rates would take gigabytes.
    """
    rate = whole(value, 1, FASTEST_RATE, "rate")
    if rate // math.gcd(rate, 16_000) > MOST_PHASES:
        raise InputError(f"'rate' is {rate} Hz: bring the sound to a usual rate, such as 16000, 22050, 44100 or 48000")
    return rate


def _seconds(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= LONGEST_SECONDS:
        raise InputError(f"'seconds' is {repr(value)[:60]}, expected a number from 0 to {LONGEST_SECONDS}")
    return float(value)
