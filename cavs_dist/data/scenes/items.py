"""The bank inside the package: pictures with alpha, sounds and backgrounds, found by class, decoded once a process."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray
from PIL import Image

BANK = Path(__file__).parent / "bank"
RATE = 16_000  # Hz, of every sound in the bank and of every clip

HOP = RATE // 50
QUIET = 10 ** (-36 / 20)  # a hop this far below the loudest one is a pause
KEPT = 5  # hops of a pause that stay on each side of a sound


@dataclass(frozen=True)
class Shelf:
    """One class's files on one side of the train/test split. recordings: each the files cut from one recording."""

    pictures: list[str] = field(default_factory=list)
    recordings: dict[str, list[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Bank:
    """What the manifest lists. shelves: by (class, side); backgrounds: by side; side is "train" or "test"."""

    shelves: dict[tuple[str, str], Shelf]
    backgrounds: dict[str, list[str]]


@cache
def bank() -> Bank:
    """Read the manifest."""
    return sort(json.loads((BANK / "manifest.json").read_text())["items"])


def sort(items: Iterable[dict[str, str]]) -> Bank:
    """Sort the manifest's items onto shelves, in the manifest's order."""
    shelves: dict[tuple[str, str], Shelf] = {}
    backgrounds: dict[str, list[str]] = {"train": [], "test": []}
    for item in items:
        if item["type"] == "background":
            backgrounds[item["split"]].append(item["file"])
            continue
        shelf = shelves.setdefault((item["cls"], item["split"]), Shelf())
        if item["type"] == "picture":
            shelf.pictures.append(item["file"])
        else:
            shelf.recordings.setdefault(item["recording"], []).append(item["file"])
    return Bank(shelves, backgrounds)


@cache
def picture(file: str) -> Image.Image:
    """Decode a picture (RGBA), cut to its visible part."""
    image = Image.open(BANK / file).convert("RGBA")
    return image.crop(image.getchannel("A").point(lambda alpha: 255 * (alpha >= 128)).getbbox())


@cache
def background(file: str) -> Image.Image:
    """Decode a background photograph (RGB)."""
    return Image.open(BANK / file).convert("RGB")


@cache
def sound(file: str) -> NDArray[np.float32]:
    """Decode a sound, its long pauses shortened: [samples] at RATE."""
    waveform, _ = soundfile.read(BANK / file, dtype="float32")
    return without_pauses(waveform)


def without_pauses(waveform: NDArray[np.float32]) -> NDArray[np.float32]:
    """Drop what is quiet and more than 0.1 s away from anything loud, so that "it plays" means "it is heard"."""
    padded = np.pad(waveform, (0, -len(waveform) % HOP)).reshape(-1, HOP)
    level = np.sqrt(np.mean(np.square(padded, dtype=np.float64), axis=1))
    loud = level > QUIET * level.max()
    near = np.convolve(loud, np.ones(2 * KEPT + 1))[KEPT : KEPT + len(loud)] > 0
    return padded[near].ravel()
