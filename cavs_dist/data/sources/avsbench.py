"""AVSBench-semantic (arXiv 2301.13190) as it is published, turned into shards."""

import json
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cavs_dist.data.decode import Limits
from cavs_dist.data.sources.listing import SPLITS, Row, read_rows
from cavs_dist.data.sources.manifest import Manifest, convert_recordings
from cavs_dist.data.sources.palette import ids_of_colours
from cavs_dist.data.sources.recording import Recording, pack
from cavs_dist.errors import InputError

# fmt: off
CLASSES = (
    "accordion", "airplane", "axe", "baby", "bassoon", "bell", "bird", "boat", "boy", "bus", "car", "cat", "cello",
    "clarinet", "clipper", "clock", "dog", "donkey", "drum", "duck", "elephant", "emergency-car", "erhu", "flute",
    "frying-food", "girl", "goose", "guitar", "gun", "guzheng", "hair-dryer", "handpan", "harmonica", "harp",
    "helicopter", "hen", "horse", "keyboard", "leopard", "lion", "man", "marimba", "missile-rocket", "motorcycle",
    "mower", "parrot", "piano", "pig", "pipa", "saw", "saxophone", "sheep", "sitar", "sorna", "squirrel", "tabla",
    "tank", "tiger", "tractor", "train", "trombone", "truck", "trumpet", "tuba", "ukulele", "utv", "vacuum-cleaner",
    "violin", "wolf", "woman",
)
# fmt: on
NAMES = dict(enumerate(CLASSES, start=1))
NO_CLASS = ("background", "off-the-screen")  # what `a_obj` says of a clip in which nothing that is seen sounds
NUM_FRAMES = {"v1s": 5, "v1m": 5, "v2": 10}


def convert(
    root: Path, out: Path, *, workers: int = 1, clips_per_shard: int = 256, limits: Limits | None = None
) -> Manifest:
    """Turn the tree ROOT/{metadata.csv, v1s, v1m, v2} into shards train, val, test and `manifest.json` in `out`.

    A clip's classes are the entries of `a_obj`, so one entry is a single-source clip, two or more a multi-source one.
    Clips of `background` and `off-the-screen` have none and belong to no stage. Missing or broken recordings are left
    out and explained in the manifest; a listing that is wrong is an InputError.
    """
    rows = read_rows(root / "metadata.csv", "uid", ("a_obj",), {"split": SPLITS, "label": tuple(NUM_FRAMES)})
    _refuse_other_labels(root / "label2idx.json")
    limits = limits or Limits()
    splits = {split: [_recording(root, row) for row in rows if row["split"] == split] for split in SPLITS}
    return convert_recordings(
        "AVSBench-semantic",
        {split: recordings for split, recordings in splits.items() if recordings},
        out,
        NAMES,
        partial(pack, read_mask=read_colours, limits=limits),
        workers=workers,
        clips_per_shard=clips_per_shard,
        settings=str(limits),
    )


def read_colours(data: bytes, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Decode an RGB mask to mask ids of `size`; a colour that is no class's is background.

    A mask of another size than its frame shows the same view, as in the published loader, and is brought to `size`.
    """
    image = Image.open(BytesIO(data), formats=("PNG",))
    if image.mode not in ("RGB", "RGBA", "P"):
        raise InputError(f"a mask of mode {image.mode}, expected RGB")
    ids = ids_of_colours(np.asarray(image.convert("RGB")), num_ids=1 + len(CLASSES))
    if ids.shape == size:
        return ids
    return np.asarray(Image.fromarray(ids).resize(size[::-1], Image.Resampling.NEAREST))


def _recording(root: Path, row: Row) -> Recording:
    frames = range(NUM_FRAMES[row["label"]])
    annotated = frames[:1] if (row["label"], row["split"]) == ("v1s", "train") else frames
    return Recording(
        key=row["uid"],
        folder=root / row["label"] / row["uid"],
        classes=_classes(row),
        frames=tuple(f"frames/{t}.jpg" for t in frames),
        masks={t: f"labels_rgb/{t}.png" for t in annotated},
        sound="audio.wav",
    )


def _classes(row: Row) -> tuple[str, ...]:
    """Return the classes heard; their names are joined by `_`, and none holds one."""
    entries = dict.fromkeys(row["a_obj"].split("_"))
    unknown = [entry for entry in entries if entry not in CLASSES and entry not in NO_CLASS]
    if unknown:
        raise InputError(f"metadata.csv: a_obj of {row['uid']} names {unknown[0]!r}, which is no class of AVSBench")
    return tuple(entry for entry in entries if entry in CLASSES)


def _refuse_other_labels(path: Path) -> None:
    """Compare the published label2idx.json, if it is there, with the table above. Published numbers start at 1."""
    if not path.exists():
        return
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as JSON: {error}") from None
    expected = {name: number for number, name in enumerate(("background", *CLASSES), start=1)}
    if found != expected:
        pairs = set(found.items() if isinstance(found, dict) else ()) ^ set(expected.items())
        raise InputError(f"{path} is not the one of AVSBench-semantic: it differs at {sorted(pairs, key=str)[:3]}")
