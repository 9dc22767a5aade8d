"""The exemplars' own bytes: a shard of the run folder for every stage, in the format of the data."""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from cavs_dist.data.clip import Encoded
from cavs_dist.data.shard import ClipEntry, ShardReader, read_split, write_shards


def store(folder: Path, stage: int, clips: Sequence[ClipEntry], names: dict[int, str]) -> None:
    """Copy a stage's exemplars into `folder`; done by one rank."""

    def copy(entry: ClipEntry) -> Encoded:
        members = reader.read(entry, [extension for extension in entry.members if extension != "json"])
        return Encoded(entry.key, entry.meta, members)

    plan = " ".join(clip.key for clip in clips)
    with closing(ShardReader()) as reader:
        write_shards(folder, f"stage{stage}", clips, copy, names, what=f"exemplars of stage {stage}", plan=plan)


def load(folder: Path, stages: Sequence[int]) -> dict[tuple[int, str], ClipEntry]:
    """Return where every exemplar lies, by (stage, key)."""
    return {
        (stage, clip.key): clip
        for stage in stages
        for index in read_split(folder, f"stage{stage}")
        for clip in index.clips
    }
