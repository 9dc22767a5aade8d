"""The exemplars' own bytes: shards of the run folder for every stage, in the format of the data."""

import re
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from cavs_dist.data.clip import Encoded
from cavs_dist.data.index import splits_in
from cavs_dist.data.shard import ClipEntry, ShardReader, read_split, write_shards
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

    plan = " ".join(clip.key for clip in clips)
    split = f"stage{stage}" if holder is None else f"stage{stage}-rank{holder}"
    with closing(ShardReader()) as reader:
        write_shards(folder, split, clips, copy, names, what=f"exemplars of stage {stage}", plan=plan)


def find(folder: Path) -> dict[Place, ClipEntry]:
    """Return where every exemplar lies that is in `folder`."""
    held: dict[Place, ClipEntry] = {}
    for split in splits_in(folder):
        found = re.fullmatch(r"stage([0-9]+)(?:-rank[0-9]+)?", split)
        if found:
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
