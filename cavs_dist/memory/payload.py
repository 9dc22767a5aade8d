"""The exemplars' own bytes: shards of the run folder for every stage, in the format of the data."""

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path

from cavs_dist.data.clip import Encoded
from cavs_dist.data.index import splits_in
from cavs_dist.data.shard import ClipEntry, CorruptClip, ShardReader, read_split, write_shards
from cavs_dist.errors import InputError
from cavs_dist.pulse import mark

Place = tuple[int, str]  # an exemplar's stage and key


def store(
    folder: Path, stage: int, clips: Sequence[ClipEntry], names: dict[int, str], holder: int | None = None
) -> None:
    """Copy a stage's exemplars into `folder`: all of them, by one rank, or those that the rank `holder` is to hold."""

    def copy(entry: ClipEntry) -> Encoded:
        mark(f"stage {stage}, storing exemplars")
        members = reader.read(entry, [extension for extension in entry.members if extension != "json"])
        return Encoded(entry.key, entry.meta, members)

    plan, what = " ".join(clip.key for clip in clips), f"exemplars of stage {stage}"
    split = f"stage{stage}" if holder is None else f"stage{stage}-rank{holder}"
    with closing(ShardReader()) as reader:
        write_shards(folder, split, clips, copy, names, what=what, plan=plan, quiet=bool(holder))


def discard(folder: Path, stage: int, world: int) -> None:
    """Remove what ranks that are no more had begun to hold of a stage's exemplars."""
    for path in folder.glob(f"*stage{stage}-rank*"):
        found = re.match(rf"\.?stage{stage}-rank([0-9]+)-", path.name)
        if found and int(found[1]) >= world:
            path.unlink(missing_ok=True)


def readable(clips: Iterable[ClipEntry]) -> Iterator[ClipEntry]:
    """Yield the clips whose bytes are what their index says."""
    with closing(ShardReader()) as reader:
        for clip in clips:
            with suppress(CorruptClip):
                reader.read(clip)
                yield clip


def find(folder: Path, rank: int = 0, world: int = 1) -> dict[Place, ClipEntry]:
    """Return where the exemplars lie that are in `folder`; of those that ranks hold, every world-th rank's."""
    held: dict[Place, ClipEntry] = {}
    for split in splits_in(folder):
        found = re.fullmatch(r"stage([0-9]+)(?:-rank([0-9]+))?", split)
        if found and int(found[2] or 0) % world == rank:
            held |= {(int(found[1]), clip.key): clip for index in read_split(folder, split) for clip in index.clips}
    return held


def load(folder: Path, wanted: Sequence[Place]) -> list[ClipEntry]:
    """Return where the exemplars `wanted` lie. Raises InputError where one is not in `folder`."""
    held = find(folder)
    lost = [key for stage, key in wanted if (stage, key) not in held]
    if lost:
        raise InputError(
            f"{folder} does not hold {len(lost)} of {len(wanted)} exemplars ({', '.join(lost[:5])}): bring its shards "
            "back, or go on with the setting of memory.payload that they were stored with"
        )
    return [held[place] for place in wanted]
