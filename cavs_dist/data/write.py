"""Make a split's shards: clips in order, in parallel, resumable after a kill, the same bytes every time."""

import hashlib
import json
import os
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TypeAlias, TypeVar

from cavs_dist.data.clip import Encoded, Rejected
from cavs_dist.data.index import (
    FORMAT,
    Shard,
    ShardIndex,
    index_path,
    parse_names,
    plain_path,
    read_index,
    refuse_duplicates,
    split_files,
    write_index,
)
from cavs_dist.data.layout import refuse_incomplete, refuse_key
from cavs_dist.data.pool import worker_pool
from cavs_dist.data.tar import index_shard
from cavs_dist.errors import InputError
from cavs_dist.files import sync
from cavs_dist.progress import progress

Item = TypeVar("Item")
Made: TypeAlias = Encoded | Rejected
Make: TypeAlias = Callable[[Item], Made]
# A worker takes a few clips at a time: fewer messages, and still little idle time at the end of a shard.
CLIPS_PER_MESSAGE = 4
SHARDS_AHEAD = 2


@dataclass(frozen=True)
class Planned:
    """A shard to be made of items start..stop. digest: of everything that its bytes depend on."""

    path: Path
    start: int
    stop: int
    digest: str


def write_shards(
    folder: Path,
    split: str,
    items: Sequence[Item],
    make: Make[Item],
    names: Mapping[int, str],
    *,
    clips_per_shard: int = 256,
    workers: int = 1,
    what: str = "clips",
    plan: str = "",
    quiet: bool = False,
) -> tuple[Rejected, ...]:
    """Make a clip of every item and write them in order as `<split>-000000.tar` ..., each with its index.

    make: runs in `workers` processes (one: in this one), so it is a function of a module, or a partial of one.
    names: mask id -> class name. plan: everything that `make` depends on, as text. Shards of an earlier run with the
    same plan are kept, so a killed run goes on where it was; other shards that we made of this split are removed first.
    Clips that `make` rejects are left out, noted in the index, and returned.
    """
    if not re.fullmatch(r"[\w-]+", split):
        raise InputError(f"{split!r} cannot be the name of a split: expected letters and digits, such as 'train'")
    plain_path(folder).mkdir(parents=True, exist_ok=True)
    names = parse_names({str(number): name for number, name in names.items()})
    shards = plan_shards(folder, split, len(items), names, clips_per_shard, plan)
    kept = _keep(folder, split, shards)
    missing = [shard for shard in shards if shard.path not in kept]
    batches = [items[shard.start : shard.stop] for shard in missing]
    with _made(make, batches, workers) as made:
        clips = progress(made, what, len(items), done=len(items) - sum(map(len, batches)), quiet=quiet)
        for shard, batch in zip(missing, batches, strict=True):
            kept[shard.path] = _make_shard(shard, islice(clips, len(batch)), names, len(shards))
        next(clips, None)  # the progress bar closes when it sees the end
    indexes = [kept[shard.path] for shard in shards]
    refuse_duplicates(clip for index in indexes for clip in index.clips)
    return tuple(rejected for index in indexes for rejected in index.rejected)


def plan_shards(
    folder: Path, split: str, count: int, names: Mapping[int, str], clips_per_shard: int, plan: str
) -> list[Planned]:
    """Cut `count` items into shards, and digest what each will be made of."""
    shards = []
    for number, start in enumerate(range(0, count, clips_per_shard)):
        stop = min(start + clips_per_shard, count)
        parts = [FORMAT, plan, split, number, start, stop, count, sorted(names.items())]
        digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
        shards.append(Planned(folder / f"{split}-{number:06d}.tar", start, stop, digest))
    return shards


def _keep(folder: Path, split: str, shards: Sequence[Planned]) -> dict[Shard, ShardIndex]:
    """Return the shards that are already as planned, and remove every other file that an earlier run made.

    InputError if there are shards of this split that no run of ours made: they are not ours to remove.
    """
    tars, indexes = split_files(folder, split, ".tar"), split_files(folder, split, ".json")
    found = {index.path: index for path in indexes if (index := _read_or_none(path))}
    for tar in tars:
        if not index_path(tar).exists() or (tar in found and not found[tar].plan):
            raise InputError(f"{tar} was made elsewhere and would be replaced: write to another folder, or remove it")
    digests: dict[Shard, str] = {shard.path: shard.digest for shard in shards}
    kept = {path: index for path, index in found.items() if digests.get(path) == index.plan}
    for path in (*folder.glob(f".{split}-[0-9]*.tmp"), *tars, *indexes):
        if path.with_suffix(".tar") not in kept:
            path.unlink()
    return kept


def _read_or_none(path: Path) -> ShardIndex | None:
    try:
        return read_index(path)
    except InputError:
        return None


@contextmanager
def _made(make: Make[Item], batches: Sequence[Sequence[Item]], workers: int) -> Iterator[Iterator[Made]]:
    """Give the clips of all batches in order, made by `workers` processes ahead of this one, which writes."""
    if workers == 1 or not batches:
        yield (make(item) for batch in batches for item in batch)
        return
    with worker_pool(workers) as pool:
        yield _ahead(pool, make, batches)


def _ahead(pool: ProcessPoolExecutor, make: Make[Item], batches: Sequence[Sequence[Item]]) -> Iterator[Made]:
    """Keep the workers a few batches ahead: no idle time between shards, and no data set piling up in memory."""
    pending: deque[Iterator[Made]] = deque()
    for batch in batches:
        pending.append(pool.map(make, batch, chunksize=CLIPS_PER_MESSAGE))
        if len(pending) > SHARDS_AHEAD:
            yield from pending.popleft()
    for clips in pending:
        yield from clips


def _make_shard(shard: Planned, clips: Iterable[Made], names: Mapping[int, str], shards: int) -> ShardIndex:
    """Write a shard and its index. The tar takes its name last: a tar that has its name is whole, and has an index."""
    temporary = shard.path.with_name(f".{shard.path.name}.tmp")
    rejected = tuple(_write_tar(temporary, clips))
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    index = index_shard(temporary, names)
    written = write_index(replace(index, path=shard.path, rejected=rejected, plan=shard.digest, shards=shards))
    temporary.replace(shard.path)
    sync(shard.path.parent)
    return read_index(written)


def _write_tar(path: Path, clips: Iterable[Made]) -> list[Rejected]:
    """Write the clips as an ordinary WebDataset tar, and return those that were rejected."""
    from webdataset import TarWriter  # here, since it imports torch, which the workers do without

    rejected = []
    # pax: the older format ends at names of 100 characters. mtime 0: the same clips give the same bytes.
    with path.open("wb") as file, TarWriter(file, encoder=False, mtime=0, format="PAX_FORMAT") as tar:
        for clip in clips:
            if isinstance(clip, Rejected):
                rejected.append(clip)
            else:
                tar.write(_sample(clip))
    return rejected


def _sample(clip: Encoded) -> dict[str, str | bytes]:
    refuse_key(clip.key)
    try:
        refuse_incomplete(clip.meta, {*clip.members, "json"})
    except InputError as error:
        raise InputError(f"clip {clip.key!r}: {error}") from None
    text = json.dumps(asdict(clip.meta), separators=(",", ":"))
    return {"__key__": clip.key, "json": text.encode(), **clip.members}
