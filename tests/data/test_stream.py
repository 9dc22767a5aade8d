from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cavs_dist.data.augment import AugmentConfig
from cavs_dist.data.config import DataConfig
from cavs_dist.data.rehearse import Plan
from cavs_dist.data.segmentation import SegmentationTransform
from cavs_dist.data.split import open_split
from cavs_dist.data.stream import StageClips, Update, evaluation_batches, training_updates
from cavs_dist.errors import InputError
from cavs_dist.outputs.segmentation import Batch

AUGMENT = AugmentConfig(crop=0.3, flip=0.5, colour=0.3, speed=0.1, gain=6.0, noise=0.1, bands=0.2)
TABLE = np.arange(256, dtype=np.uint8)
UPDATES = 9


@pytest.fixture
def stage(scenes: Path) -> StageClips:
    """24 clips in epochs of 4 updates: 6 from the stage and 2 from a memory of 3."""
    config = DataConfig(path=str(scenes), size=16, frames=2, step=1.0, workers=0, augment=AUGMENT)
    clips, memory = open_split(config, "train"), open_split(config, "val")
    exemplars = {"bell": (0, 1), "cow": (2,)}
    plan = Plan(5, 1, clips.shard_sizes, batch=8, window=8, tail="drop", memory_slots=2, exemplars=exemplars)
    transforms = (SegmentationTransform(config, table, frames=2) for table in (TABLE, TABLE[::-1].copy()))
    return StageClips(plan, clips.clips, memory.clips[:3], *transforms, config)


def whole(frames: int) -> SegmentationTransform:
    """Evaluation's, padded to so many frames."""
    return SegmentationTransform(DataConfig(path="", size=16, step=1.0), TABLE, frames)


def read(stage: StageClips, first: int = 0, *, world: int = 1, workers: int = 0, micro: int = 8) -> list[list[Update]]:
    """The updates from `first` on, rank by rank."""
    stage = replace(stage, config=replace(stage.config, workers=workers))
    return [list(training_updates(stage, first, UPDATES, rank, world, micro)) for rank in range(world)]


def clips_of(batch: Batch) -> Iterator[tuple[str, bytes]]:
    """Each clip's key, and all that a model would see of it."""
    size = batch.present.shape[1]
    for i, key in enumerate(batch.keys):
        frames = slice(i * size, (i + 1) * size)
        tensors = (batch.frames[frames], batch.audio[frames], batch.labels[frames], batch.from_memory[i])
        yield key, b"".join(tensor.numpy().tobytes() for tensor in tensors)


def sequence(ranks: list[list[Update]]) -> list[list[tuple[str, bytes]]]:
    """The clips of every update in the order of their slots: rank r holds every slot r, r + W, ..."""
    slots = []
    for parts in zip(*ranks, strict=True):
        micro_batches = zip(*(part.batches for part in parts), strict=True)
        slots.append(
            [clip for batches in micro_batches for turn in zip(*map(clips_of, batches), strict=True) for clip in turn]
        )
    return slots


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize(
    ("world", "workers", "micro"), [(1, 1, 8), (1, 3, 8), (2, 0, 8), (2, 2, 8), (4, 0, 8), (4, 1, 8), (2, 0, 4)]
)
def test_ranks_workers_and_micro_batches_change_nothing(
    stage: StageClips, world: int, workers: int, micro: int
) -> None:
    assert sequence(read(stage, world=world, workers=workers, micro=micro)) == sequence(read(stage))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("first", [1, 4, 7, UPDATES])
def test_resuming_gives_what_was_not_yet_given(stage: StageClips, first: int, workers: int) -> None:
    [rest] = read(stage, first, workers=workers)
    assert [update.number for update in rest] == list(range(first, UPDATES))
    assert sequence([rest]) == sequence(read(stage))[first:]


def test_an_epoch_is_the_stage_and_memory_has_its_own_labels(stage: StageClips) -> None:
    [updates] = read(stage)
    keys = [key for update in updates[:4] for batch in update.batches for key in batch.keys if key.startswith("train")]
    assert sorted(keys) == [clip.key for clip in stage.clips]
    for update in updates:
        [batch] = update.batches
        assert [key.startswith("val") for key in batch.keys] == batch.from_memory.tolist() == [False] * 6 + [True] * 2
        labels = batch.labels[batch.frames_from_memory]
        assert labels.min() >= 251 and batch.labels[~batch.frames_from_memory].max() <= 4


def test_augmentation_depends_on_the_clip_and_its_occurrence_alone(stage: StageClips) -> None:
    plain = replace(stage, plan=replace(stage.plan, memory_slots=0, batch=6))
    elsewhere = replace(plain, plan=replace(plain.plan, window=24))
    one, other = sequence(read(plain)), sequence(read(elsewhere))
    assert one != other
    epochs = [{key: content for update in one[start : start + 4] for key, content in update} for start in (0, 4)]
    assert epochs[0] == {key: content for update in other[:4] for key, content in update}
    assert len(epochs[0]) == 24 and all(epochs[0][key] != epochs[1][key] for key in epochs[0])


def test_clips_of_one_update_are_augmented_each_in_its_way(stage: StageClips) -> None:
    alike = [replace(stage.clips[0], key=f"copy{number}") for number in range(24)]
    [first, *_] = sequence(read(replace(stage, clips=alike)))
    assert len({content for _, content in first[:6]}) == 6


def broken(folder: Path, stage: StageClips, numbers: Collection[int], **policy: Any) -> StageClips:
    """The stage with clips whose sound is damaged on disk."""
    copies = {clip.shard: folder / clip.shard.name for clip in stage.clips}
    for shard, copy in copies.items():
        copy.write_bytes(shard.read_bytes())
    clips = [replace(clip, shard=copies[clip.shard]) for clip in stage.clips]
    for clip in (clips[number] for number in numbers):
        with clip.shard.open("r+b") as file:
            file.seek(clip.members["audio.flac"].offset + 40)
            file.write(b"damage")
    return replace(stage, clips=clips, config=replace(stage.config, **policy))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_corrupt_clip_is_named(stage: StageClips, tmp_path: Path, workers: int) -> None:
    bad = broken(tmp_path, stage, [0])
    with pytest.raises(InputError, match=r"train-000000\.tar: clip 'train-000000' has a damaged member 'audio.flac'"):
        read(bad, workers=workers)
    with pytest.raises(InputError, match="train-000000"):
        list(evaluation_batches(bad.clips, whole(3), replace(bad.config, workers=workers), 0, 1, 4))


def test_skipped_clips_are_counted_and_replaced(stage: StageClips, tmp_path: Path) -> None:
    bad = broken(tmp_path, stage, [0, 1], on_corrupt="skip", corrupt_budget=2)
    [updates] = read(bad)
    skipped = {key for update in updates[:4] for key in update.skipped}
    assert skipped == {"train-000000", "train-000001"}
    for intact, damaged in zip(sequence(read(stage)), sequence([updates]), strict=True):
        for (key, _), (instead, _) in zip(intact, damaged, strict=True):
            assert instead == ("train-000002" if key in skipped else key)


@pytest.mark.parametrize("workers", [0, 2])
def test_too_many_corrupt_clips_end_the_run(stage: StageClips, tmp_path: Path, workers: int) -> None:
    one_by_one = replace(stage, plan=replace(stage.plan, memory_slots=0, batch=1))
    keys = sorted(sequence(read(one_by_one))[update][0][0] for update in (0, 4, 8))
    damaged = [number for number, clip in enumerate(stage.clips) if clip.key in keys]
    bad = broken(tmp_path, one_by_one, damaged, on_corrupt="skip", corrupt_budget=2)
    said = f"3 clips cannot be read, more than data.corrupt_budget=2: {', '.join(keys)}"
    with pytest.raises(InputError, match=said):
        read(bad, workers=workers)
    with pytest.raises(InputError, match=said):
        list(evaluation_batches(bad.clips, whole(3), replace(bad.config, workers=workers), 0, 1, 2))


@pytest.mark.parametrize(("world", "workers"), [(1, 0), (2, 2), (4, 0)])
def test_evaluation_gives_every_clip_once(stage: StageClips, world: int, workers: int) -> None:
    config = replace(stage.config, workers=workers)
    batches = [
        batch for rank in range(world) for batch in evaluation_batches(stage.clips, whole(4), config, rank, world, 5)
    ]
    assert sorted(key for batch in batches for key in batch.keys) == [clip.key for clip in stage.clips]
    assert {batch.present.shape[1] for batch in batches} == {4} and not any(b.present[:, 3].any() for b in batches)
    assert max(len(batch.keys) for batch in batches) == 5


def test_evaluation_skips_within_the_budget_and_closes_its_shards(stage: StageClips, tmp_path: Path) -> None:
    bad = broken(tmp_path, stage, [0, 1], on_corrupt="skip")
    before = len(list(Path("/proc/self/fd").iterdir()))
    keys = [key for batch in evaluation_batches(bad.clips, whole(3), bad.config, 0, 1, 2) for key in batch.keys]
    assert keys == [clip.key for clip in stage.clips[2:]]
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_frames_are_sampled_in_order_or_taken_whole(stage: StageClips) -> None:
    plain = replace(stage.config, augment=AugmentConfig())
    everything = SegmentationTransform(plain, TABLE, frames=3)
    [[update, *_]] = read(replace(stage, clips_transform=everything, exemplars_transform=everything))
    assert update.batches[0].present.shape == (8, 3) and update.batches[0].present.all()
    padded = replace(everything, frames=5)
    [[update, *_]] = read(replace(stage, clips_transform=padded, exemplars_transform=padded))
    assert update.batches[0].present.sum(dim=1).tolist() == [3] * 8
    assert (update.batches[0].labels.view(8, 5, 16, 16)[:, 3:] == 255).all()
    assert torch.equal(update.batches[0].frame_weight, update.batches[0].present.flatten().float())
