"""What a data set holds, told from its indexes alone."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

from rich.table import Table

from cavs_dist.data.index import Location, ShardIndex, read_split, splits_in
from cavs_dist.errors import InputError

PAIRS_SHOWN = 12


@dataclass(frozen=True)
class SplitSummary:
    """Counts of one split. sizes: (height, width) -> clips. classes: audible class -> clips.

    pairs: two classes audible in one clip, in alphabetical order -> clips.
    """

    split: str
    shards: int
    clips: int
    rejected: int
    bytes: int
    seconds: float
    frames: int
    annotated: int
    sizes: Mapping[tuple[int, int], int]
    classes: Mapping[str, int]
    pairs: Mapping[tuple[str, str], int]


@dataclass(frozen=True)
class Inspection:
    """What a data set holds. names: mask id -> class name, of all splits together."""

    folder: Location
    names: Mapping[int, str]
    splits: tuple[SplitSummary, ...]


def inspect(folder: Location) -> Inspection:
    """Count what the indexes of a data set say of it; no tar is opened."""
    splits = {split: read_split(folder, split) for split in splits_in(folder)}
    if not splits:
        raise InputError(f"{folder} has no shards: expected train-000000.tar, train-000000.json and so on")
    names = {number: name for indexes in splits.values() for number, name in indexes[0].names.items()}
    summaries = tuple(summarise(split, indexes) for split, indexes in splits.items())
    return Inspection(folder, dict(sorted(names.items())), summaries)


def summarise(split: str, indexes: tuple[ShardIndex, ...]) -> SplitSummary:
    """Count what the indexes of one split say."""
    metas = [clip.meta for index in indexes for clip in index.clips]
    return SplitSummary(
        split=split,
        shards=len(indexes),
        clips=len(metas),
        rejected=sum(len(index.rejected) for index in indexes),
        bytes=sum(index.size for index in indexes),
        seconds=sum(meta.seconds for meta in metas),
        frames=sum(meta.frames for meta in metas),
        annotated=sum(len(meta.annotated) for meta in metas),
        sizes=Counter(meta.size for meta in metas),
        classes=Counter(name for meta in metas for name in meta.classes),
        pairs=Counter(pair for meta in metas for pair in combinations(sorted(meta.classes), 2)),
    )


def inspection_tables(inspection: Inspection) -> list[Table]:
    """Lay an inspection out for reading: splits, clips by audible class, and the pairs that sound together most."""
    splits = inspection.splits
    sizes = Table("split", "shards", "clips", "rejected", "frames", "annotated", "hours", "MB", "frame sizes")
    for one in splits:
        shapes = ", ".join(f"{width} x {height}" for height, width in sorted(one.sizes))
        numbers = (one.shards, one.clips, one.rejected, one.frames, one.annotated)
        sizes.add_row(one.split, *map(str, numbers), f"{one.seconds / 3600:.2f}", f"{one.bytes / 1e6:.1f}", shapes)
    heard = Table("id", "class", *(f"clips in {one.split}" for one in splits), title="clips in which a class is heard")
    for number, name in inspection.names.items():
        heard.add_row(str(number), name, *(str(one.classes.get(name, 0)) for one in splits))
    totals = Counter({pair: sum(one.pairs.get(pair, 0) for one in splits) for one in splits for pair in one.pairs})
    pairs = Table("heard together", *(f"clips in {one.split}" for one in splits))
    for (first, second), _ in totals.most_common(PAIRS_SHOWN):
        pairs.add_row(f"{first} + {second}", *(str(one.pairs.get((first, second), 0)) for one in splits))
    return [sizes, heard, pairs]
