"""Two ranks with a folder each: what they draw reaches them, and is what one rank reads from its own disk."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist

from cavs_dist.data.augment import AugmentConfig
from cavs_dist.data.config import DataConfig
from cavs_dist.data.rehearse import Plan
from cavs_dist.data.segmentation import SegmentationTransform
from cavs_dist.data.shard import BytesReader, ShardReader, read_split
from cavs_dist.data.stream import StageClips, training_updates
from cavs_dist.errors import InputError
from cavs_dist.memory import payload
from cavs_dist.memory.exchange import Exchange

STAGE, KEPT = 1, 7
TABLE = np.arange(256, dtype=np.uint8)


def store(scenes: Path, folder: Path, rank: int, world: int) -> list[payload.Place]:
    indexes = read_split(scenes, "train")
    clips = [clip for index in indexes for clip in index.clips][:KEPT]
    payload.store(folder, STAGE, clips[rank::world], dict(indexes[0].names), holder=rank)
    return [(STAGE, clip.key) for clip in clips]


def batches(scenes: Path, exchange: Exchange, rank: int, world: int) -> list[Any]:
    config = DataConfig(path=str(scenes), size=16, frames=2, step=1.0, workers=rank, augment=AugmentConfig())
    clips = read_split(scenes, "val")[0].clips
    exemplars = {"bell": range(KEPT)}
    plan = Plan(5, STAGE, (len(clips),), batch=8, window=8, tail="drop", memory_slots=4, exemplars=exemplars)
    transform = SegmentationTransform(config, TABLE, frames=2)
    stage = StageClips(plan, clips, exchange.exemplars, transform, transform, config, deliver=exchange.deliver)
    made = [batch for update in training_updates(stage, 0, 12, rank, world, 8) for batch in update.batches]
    return [(batch.keys, batch.frames, batch.audio, batch.labels) for batch in made]


def run(rank: int, scenes: Path, folder: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    wanted = store(scenes, folder / str(rank), rank, 2)
    exchange = Exchange(wanted, payload.find(folder / str(rank), rank, 2), {}, 1 << 20)
    torch.save(batches(scenes, exchange, rank, 2), folder / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.world
def test_exemplars_reach_who_draws_them(scenes: Path, tmp_path: Path) -> None:
    torch.multiprocessing.spawn(run, (scenes, tmp_path), nprocs=2)
    wanted = store(scenes, tmp_path / "alone", 0, 1)
    alone = batches(scenes, Exchange(wanted, payload.find(tmp_path / "alone"), {}, 0), 0, 1)
    parts = [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]
    for (keys, *tensors), *shares in zip(alone, *parts, strict=True):
        assert [key for turn in zip(*(share[0] for share in shares), strict=True) for key in turn] == list(keys)
        for whole, *mine in zip(tensors, *(share[1:] for share in shares), strict=True):
            for rank, part in enumerate(mine):
                assert part.equal(whole.unflatten(0, (8, -1))[rank::2].flatten(0, 1))
    assert len({key for keys, *_ in alone for key in keys[4:]}) > 4


def test_what_is_delivered_is_checked(scenes: Path, tmp_path: Path) -> None:
    exchange = Exchange(store(scenes, tmp_path, 0, 1), payload.find(tmp_path), {}, 0)
    entry, [(number, data)] = exchange.exemplars[3], exchange.deliver([[3]]).items()
    assert number == 3 and BytesReader(data).read(entry) == ShardReader().read(payload.find(tmp_path)[STAGE, entry.key])
    with pytest.raises(InputError, match="its checksum is wrong"):
        BytesReader(data[:-1] + b"x").read(entry)


def test_the_data_stands_in_for_what_nobody_holds_and_what_is_nowhere_is_named(scenes: Path, tmp_path: Path) -> None:
    wanted, held = store(scenes, tmp_path, 0, 2), payload.find(tmp_path)
    with pytest.raises(InputError, match=f"no rank holds 3 exemplars \\({wanted[1][1]}, "):
        Exchange(wanted, held, {}, 0)
    originals = {clip.key: clip for index in read_split(scenes, "train") for clip in index.clips}
    exchange = Exchange(wanted, held, originals, 0)
    [(_, data)] = exchange.deliver([[1]]).items()
    assert BytesReader(data).read(exchange.exemplars[1]) == ShardReader().read(originals[wanted[1][1]])
