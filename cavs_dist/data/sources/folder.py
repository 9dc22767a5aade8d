"""A person's own recordings in a folder, turned into shards."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cavs_dist.data.clip import IGNORED
from cavs_dist.data.decode import Limits, decode_mask
from cavs_dist.data.index import parse_names
from cavs_dist.data.sources.listing import SPLITS, Row, read_rows
from cavs_dist.data.sources.manifest import Manifest, convert_recordings
from cavs_dist.data.sources.recording import NO_FRAME, Recording, natural, pack, pictures
from cavs_dist.errors import InputError

SOUNDS = ("audio.wav", "audio.flac", "audio.ogg")


def convert_folder(
    root: Path, out: Path, *, workers: int = 1, clips_per_shard: int = 256, limits: Limits | None = None
) -> Manifest:
    """Turn a folder of recordings into shards of each split and `manifest.json` in `out`.

    ROOT/labels.csv: `key,split,classes`, a recording a row; split is train, val or test; `;` joins the classes heard.
    ROOT/<key>/frames/*.jpg (png, webp): one a second, in the order of their names, numbers as numbers (2 before 10).
    ROOT/<key>/audio.wav (flac, ogg). ROOT/<key>/masks/<name of a frame>.png: 8-bit mask ids, for any of the frames.
    ROOT/names.csv: `id,name` of the mask ids 1..254; without any masks it may be left out, ids are then alphabetical.
    Missing or broken recordings are left out and explained in the manifest; a listing that is wrong is an InputError.
    """
    rows = read_rows(root / "labels.csv", "key", ("classes",), {"split": SPLITS})
    names, limits = _names(root, rows), limits or Limits()
    splits = {split: [_recording(root, row) for row in rows if row["split"] == split] for split in SPLITS}
    return convert_recordings(
        "folder",
        {split: recordings for split, recordings in splits.items() if recordings},
        out,
        names,
        partial(pack, read_mask=partial(read_ids, names=names), limits=limits),
        workers=workers,
        clips_per_shard=clips_per_shard,
        settings=str(limits),
    )


def read_ids(data: bytes, size: tuple[int, int], names: Mapping[int, str]) -> NDArray[np.uint8]:
    """Decode a mask of ids, each of which must have a name (but for 0, background, and 255, ignored)."""
    ids = decode_mask(data, size)
    unnamed = sorted(set(np.unique(ids).tolist()) - {0, IGNORED, *names})
    if unnamed:
        raise InputError(f"it holds id {unnamed[0]}, which names.csv does not name")
    return ids


def _names(root: Path, rows: Sequence[Row]) -> dict[int, str]:
    """Return the class names by mask id: those of names.csv, or without it those heard, alphabetically."""
    heard = sorted({name for row in rows for name in _classes(row)})
    path = root / "names.csv"
    if not path.exists():
        if any(pictures(root / row["key"] / "masks") for row in rows):
            raise InputError(
                f"there are masks but no {path}: write what each mask id means, with the first line id,name"
            )
        return parse_names({str(number): name for number, name in enumerate(heard, start=1)})
    try:
        names = parse_names({row["id"]: row["name"] for row in read_rows(path, "id", ("name",))})
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    unknown = [name for name in heard if name not in names.values()]
    if unknown:
        raise InputError(f"labels.csv hears {', '.join(unknown)}, but names.csv names {', '.join(names.values())}")
    return names


def _classes(row: Row) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for part in row["classes"].split(";") if (name := part.strip())))


def _recording(root: Path, row: Row) -> Recording:
    folder = root / row["key"]
    frames = sorted(pictures(folder / "frames"), key=natural)
    number = {Path(name).stem: t for t, name in enumerate(frames)}
    sounds = [name for name in SOUNDS if (folder / name).exists()]
    return Recording(
        key=row["key"],
        folder=folder,
        classes=_classes(row),
        frames=tuple(f"frames/{name}" for name in frames),
        masks={number.get(Path(name).stem, NO_FRAME): f"masks/{name}" for name in pictures(folder / "masks")},
        sound=sounds[0] if sounds else SOUNDS[0],
    )
