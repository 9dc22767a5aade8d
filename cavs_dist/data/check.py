"""Check a data set: each shard against its index, and every clip to its last pixel and sample."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from cavs_dist.data.clip import IGNORED, Clip
from cavs_dist.data.decode import STANDARD_LIMITS, Limits, load_clip, load_features
from cavs_dist.data.index import (
    ClipEntry,
    Location,
    ShardIndex,
    index_path,
    read_index,
    refuse_disagreement,
    remote_indexes,
    split_files,
    splits_in,
)
from cavs_dist.data.pool import worker_pool
from cavs_dist.data.remote.address import Address
from cavs_dist.data.remote.catalogue import CATALOGUE, make_catalogue, read_catalogue
from cavs_dist.data.remote.copy import copied
from cavs_dist.data.remote.file import RemoteFile
from cavs_dist.data.shard import CorruptClip, ShardReader
from cavs_dist.data.tar import Problem, read_tar, sha256
from cavs_dist.errors import InputError
from cavs_dist.progress import progress

# The length that a clip's json announces may be rounded, but not wrong.
SECONDS_APART = 0.1


@dataclass(frozen=True)
class Checked:
    """What was found in one shard. index: None if it cannot be read. keys: of all clips, good or bad."""

    index: ShardIndex | None
    keys: tuple[str, ...]
    problems: tuple[Problem, ...]


def check(folder: Location, *, workers: int = 1, limits: Limits = STANDARD_LIMITS) -> tuple[Problem, ...]:
    """Read every byte of a data set and return all that is wrong with it; nothing if all is well.

    What lies on a server is copied for it, shard by shard, one a worker, to where its cache is. InputError if there is
    no data set to be checked.
    """
    splits = {split: _shards(folder, split) for split in splits_in(folder)}
    shards = [shard for paths in splits.values() for shard in paths]
    if not shards:
        raise InputError(f"{folder} has no shards: expected train-000000.tar, train-000000.json and so on")
    checked = dict(zip(shards, _check_all(shards, workers, limits), strict=True))
    problems = [problem for one in checked.values() for problem in one.problems]
    for paths in splits.values():
        problems += _split_problems(paths[0], [checked[path].index for path in paths])
    if isinstance(folder, Path):
        problems += _catalogue_problems(folder)
    return (*problems, *_duplicates(checked))


def check_shard(shard: Location, limits: Limits) -> Checked:
    """Check one shard (`shard`: its tar, whether it exists or not)."""
    return _check_local(shard, limits) if isinstance(shard, Path) else _check_remote(shard, limits)


def _check_remote(shard: Address, limits: Limits) -> Checked:
    with copied(shard) as copy:
        checked = _check_local(copy, limits)
        listed = read_catalogue(shard.parent)[index_path(copy).name]
        known = index_path(copy).is_file() and sha256(index_path(copy)) == listed.sha256
    here, there = str(copy.parent), str(shard.parent)
    problems = [Problem(shard, one.key, one.reason.replace(here, there)) for one in checked.problems]
    if not known:
        problems.append(Problem(shard, None, f"its index is not the one that {CATALOGUE} lists: copy the folder again"))
    index = checked.index
    if index:
        index = replace(index, path=RemoteFile(shard, index.size, index.sha256))
    return replace(checked, index=index, problems=tuple(problems))


def _check_local(shard: Path, limits: Limits) -> Checked:
    problems: list[Problem] = []
    index: ShardIndex | None = None
    try:
        index = read_index(index_path(shard))
    except InputError as error:
        problems.append(Problem(shard, None, str(error)))
    contents = read_tar(shard)
    problems += contents.problems
    if index:
        found, bad = {clip.key: clip for clip in contents.clips}, {one.key for one in problems}
        problems += _differences(shard, index, found, bad)
    reader = ShardReader()
    for clip in contents.clips:
        problems += [Problem(shard, clip.key, reason) for reason in _faults(reader, clip, index, limits)]
    reader.close()
    keys = {clip.key for clip in contents.clips} | {one.key for one in contents.problems if one.key}
    return Checked(index, tuple(sorted(keys)), tuple(problems))


def _shards(folder: Location, split: str) -> Sequence[Location]:
    if not isinstance(folder, Path):
        return [folder / index.name.replace(".json", ".tar") for index in remote_indexes(folder, split)]
    indexed = {path.with_suffix(".tar") for path in split_files(folder, split, ".json")}
    return sorted(indexed | set(split_files(folder, split, ".tar")))


def _check_all(shards: Sequence[Location], workers: int, limits: Limits) -> list[Checked]:
    work = partial(check_shard, limits=limits)
    if workers == 1:
        return list(progress(map(work, shards), "shards checked", len(shards)))
    with worker_pool(workers) as pool:
        return list(progress(pool.map(work, shards), "shards checked", len(shards)))


def _differences(
    shard: Path, index: ShardIndex, found: Mapping[str, ClipEntry], bad: Collection[str | None]
) -> Iterator[Problem]:
    """Tell where the index and the tar differ; clips in `bad` have been told of already."""
    if sha256(shard) != index.sha256:
        yield Problem(shard, None, "its sha256 is not the one in its index: copy or make it again")
    listed = {clip.key: clip for clip in index.clips}
    for key in sorted((listed.keys() ^ found.keys()) - set(bad)):
        where = "in the index, but not in the tar" if key in listed else "in the tar, but not in the index"
        yield Problem(shard, key, f"is {where}")
    for key in sorted(listed.keys() & found.keys()):
        if listed[key].meta != found[key].meta:
            yield Problem(shard, key, "has a json that differs from the index")
        members = {name for name, _ in listed[key].members.items() ^ found[key].members.items()}
        if members:
            yield Problem(shard, key, f"has {', '.join(sorted(members))} not as in the index")


def _faults(reader: ShardReader, entry: ClipEntry, index: ShardIndex | None, limits: Limits) -> Iterator[str]:
    try:
        clip = load_clip(reader, entry, limits, extras=True)
        load_features(reader, entry)
    except CorruptClip as error:
        yield error.reason
        return
    seconds = len(clip.waveform) / clip.rate
    if abs(seconds - entry.meta.seconds) > SECONDS_APART:
        yield f"lasts {seconds:.2f} s, its json says {entry.meta.seconds:.2f} s"
    if index:
        yield from _unknown(clip, index.names)


def _unknown(clip: Clip, names: Mapping[int, str]) -> Iterator[str]:
    planes = [clip.masks] if clip.silent is None else [clip.masks, clip.silent]
    ids = {int(one) for plane in planes for one in np.unique(plane)} - names.keys() - {0, IGNORED}
    if ids:
        yield f"has mask ids {sorted(ids)}, which its shard gives no name"
    classes = sorted(set(clip.classes) - set(names.values()))
    if classes:
        yield f"sounds of {classes}, which its shard does not name"


def _split_problems(first: Location, indexes: Sequence[ShardIndex | None]) -> Iterator[Problem]:
    """Tell whether a split is whole and of one mind; an index that cannot be read has been told of already."""
    readable = tuple(index for index in indexes if index)
    try:
        if len(readable) == len(indexes):
            refuse_disagreement(readable)
    except InputError as error:
        yield Problem(first, None, str(error))


def _catalogue_problems(folder: Path) -> Iterator[Problem]:
    path = folder / CATALOGUE
    if path.exists() and path.read_bytes() != make_catalogue(folder).encode():
        yield Problem(path, None, "it does not list the indexes as they are: run `cavs-dist data catalogue` again")


def _duplicates(checked: Mapping[Location, Checked]) -> Iterator[Problem]:
    """A key names one clip: memory and augmentation know clips by their keys, also across splits."""
    first: dict[str, Location] = {}
    for shard, one in checked.items():
        for key in one.keys:
            if first.setdefault(key, shard) != shard:
                yield Problem(shard, key, f"has a key that is also in {first[key].name}")
