"""Read and decode clips from shards, and the same bytes lying as loose JPEG, PNG and WAV files, one by one.

python bench/read_speed.py [clips] [rounds]: 5 frames of 96 x 96 with masks and 5 s of sound a clip, one process, in the
same shuffled order. Both decode with the same functions; "cold": the kernel was asked to forget the files' pages.
"""

import json
import os
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeAlias

import numpy as np
import soundfile

from cavs_dist.data.clip import Clip, Encoded
from cavs_dist.data.decode import STANDARD_LIMITS, decode_clip, encode_clip
from cavs_dist.data.shard import ClipEntry, ShardReader, read_split, write_shards
from cavs_dist.randomness import generator

FRAMES, SIDE, RATE, SECONDS = 5, 96, 16_000, 5
NAMES = {1: "disc"}
Way: TypeAlias = Callable[[Sequence[ClipEntry], bool], None]


def draw(number: int, loose: Path) -> Encoded:
    """Make a clip of a disc that moves over a gradient, and write the same bytes as loose files too."""
    rng = generator("read_speed", number)
    y, x = np.mgrid[:SIDE, :SIDE]
    masks = np.stack([(x - 20 - 12 * t) ** 2 + (y - 48) ** 2 < 256 for t in range(FRAMES)]).astype(np.uint8)
    texture = rng.normal(0, 6, (FRAMES, SIDE, SIDE, 3))
    frames = (x + y)[None, :, :, None] * rng.uniform(0.3, 1.2, 3) + masks[..., None] * 60 + texture
    waveform = rng.normal(0, 0.1, RATE * SECONDS).astype(np.float32)
    pixels, annotated = frames.clip(0, 255).astype(np.uint8), np.ones(FRAMES, bool)
    clip = Clip(f"clip-{number:05d}", pixels, masks, annotated, waveform, RATE, ("disc",))
    encoded = encode_clip(clip)
    folder = loose / clip.key
    folder.mkdir()
    soundfile.write(folder / "audio.wav", waveform, RATE, subtype="PCM_16")
    members = {name: data for name, data in encoded.members.items() if name != "audio.flac"}
    for name, data in members.items():
        (folder / name).write_bytes(data)
    return Encoded(clip.key, encoded.meta, {**members, "audio.wav": (folder / "audio.wav").read_bytes()})


def from_shards(entries: Sequence[ClipEntry], decode: bool) -> None:
    """Read by offset, with checksums, from open shards."""
    reader = ShardReader()
    for entry in entries:
        members = reader.read(entry, [name for name in entry.members if name != "json"])
        if decode:
            decode_clip(entry.key, entry.meta, members, STANDARD_LIMITS)
    reader.close()


def from_files(loose: Path, entries: Sequence[ClipEntry], decode: bool) -> None:
    """Open every file of every clip; names and json are known beforehand, as they are for the shards."""
    for entry in entries:
        members = {name: (loose / entry.key / name).read_bytes() for name in entry.members if name != "json"}
        if decode:
            decode_clip(entry.key, entry.meta, members, STANDARD_LIMITS)


def forget(folder: Path) -> None:
    """Ask the kernel to drop the pages of all files below `folder` (not its table of names)."""
    for path in folder.rglob("*.*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def measure(folder: Path, entries: Sequence[ClipEntry], rounds: int) -> dict[str, float]:
    """Return clips a second, the median of rounds in which every way takes its turn."""
    ways: dict[str, Way] = {"shards": from_shards, "files": partial(from_files, folder / "loose")}
    cases = [(name, decode, cold) for cold in (False, True) for decode in (True, False) for name in ways]
    speeds: dict[str, list[float]] = defaultdict(list)
    for _ in range(rounds):
        for name, decode, cold in cases:
            if cold:
                forget(folder)
            start = time.perf_counter()
            ways[name](entries, decode)
            case = f"{name}_{'decode' if decode else 'read'}_{'cold' if cold else 'warm'}"
            speeds[case].append(len(entries) / (time.perf_counter() - start))
    return {case: round(statistics.median(values), 1) for case, values in speeds.items()}


def main(clips: int = 600, rounds: int = 5) -> None:
    """Write the clips both ways, and time reading them."""
    # Here and not in /tmp, which is often in memory.
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        folder = Path(name)
        (folder / "loose").mkdir()
        write_shards(folder, "train", range(clips), partial(draw, loose=folder / "loose"), NAMES)
        entries = [clip for index in read_split(folder, "train") for clip in index.clips]
        generator("read_speed", "order").shuffle(entries)
        from_shards(entries, True)
        from_files(folder / "loose", entries, True)
        speeds = measure(folder, entries, rounds)
        size = sum(path.stat().st_size for path in folder.glob("*.tar")) / clips
    for case, speed in speeds.items():
        print(f"{case:20} {speed:9.1f} clips/s")
    ratios = {
        f"ratio_{rest}": round(speeds[f"shards_{rest}"] / speeds[f"files_{rest}"], 2)
        for rest in ("decode_warm", "decode_cold", "read_warm", "read_cold")
    }
    print(json.dumps({"bench": "read_speed", "clips": clips, "bytes_per_clip": round(size), **speeds, **ratios}))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
