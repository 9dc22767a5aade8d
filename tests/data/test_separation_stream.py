"""Mixtures from shards: the same on any number of ranks and workers, wherever the run was taken up again."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from cavs_dist.data.augment import AugmentConfig
from cavs_dist.data.config import DataConfig, MixConfig
from cavs_dist.data.rehearse import Plan
from cavs_dist.data.separation import SeparationTransform
from cavs_dist.data.shard import ClipEntry, ShardReader
from cavs_dist.data.split import open_split
from cavs_dist.data.stream import StageClips, Update, evaluation_batches, training_updates
from cavs_dist.outputs.separation import Batch

NEW = {"train": 2, "violin": 3}
SEEN = {"bell": 0, "cow": 1, **NEW}
UPDATES = 8


def class_of(clip: ClipEntry, positions: Mapping[str, int]) -> str:
    return next(name for name in positions if name in clip.meta.classes)


@pytest.fixture(scope="module")
def stage(scenes: Path) -> StageClips:
    """The clips of two classes in epochs of 2 updates: 4 of the stage and 4 from a memory of 3, mixed two by two."""
    augment, mix = AugmentConfig(crop=0.3, flip=0.5, colour=0.3), MixConfig(samples=11_025)
    config = DataConfig(path=str(scenes), size=16, step=1.0, workers=0, augment=augment, mix=mix)
    clips = [clip for clip in open_split(config, "train").clips if set(clip.meta.classes) & set(NEW)]
    kept = [clip for clip in open_split(config, "val").clips if set(clip.meta.classes) <= {"bell", "cow"}][:3]
    exemplars = {name: [n for n, clip in enumerate(kept) if class_of(clip, SEEN) == name] for name in ("bell", "cow")}
    plan = Plan(
        5, 1, (len(clips),), batch=8, window=8, tail="drop", memory_slots=4, exemplars=exemplars,
        pairing="different_class", classes=[class_of(clip, NEW) for clip in clips],
    )  # fmt: skip
    transforms = (SeparationTransform(config, positions, 2, False) for positions in ({**NEW, **SEEN}, SEEN))
    return StageClips(plan, clips, kept, *transforms, config)


def read(stage: StageClips, first: int = 0, *, world: int = 1, workers: int = 0, micro: int = 8) -> list[list[Update]]:
    """The updates from `first` on, rank by rank."""
    stage = replace(stage, config=replace(stage.config, workers=workers))
    return [list(training_updates(stage, first, UPDATES, rank, world, micro)) for rank in range(world)]


Mixture = tuple[tuple[str, ...], bytes]


def mixtures_of(batch: Batch) -> Iterator[Mixture]:
    """The keys of each mixture, and all that a model would see of it."""
    for one in batch.one_by_one():
        tensors = (one.waveforms, one.frames, one.classes, one.videos, one.from_memory, one.memory_weight)
        yield one.keys, b"".join(tensor.numpy().tobytes() for tensor in tensors)


def sequence(ranks: list[list[Update]]) -> list[list[Mixture]]:
    """The mixtures of every update in the order of their slots: rank r holds every slot r, r + W, ..."""
    slots = []
    for parts in zip(*ranks, strict=True):
        cuts = zip(*(part.batches for part in parts), strict=True)
        slots.append([one for cut in cuts for turn in zip(*map(mixtures_of, cut), strict=True) for one in turn])
    return slots


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize(("world", "workers", "micro"), [(1, 2, 8), (2, 0, 8), (2, 1, 4), (4, 0, 4), (4, 0, 8)])
def test_ranks_workers_and_micro_batches_change_nothing(
    stage: StageClips, world: int, workers: int, micro: int
) -> None:
    assert sequence(read(stage, world=world, workers=workers, micro=micro)) == sequence(read(stage))


@pytest.mark.parametrize(("first", "world", "workers"), [(1, 1, 0), (3, 2, 0), (5, 1, 2), (UPDATES, 1, 0)])
def test_resuming_gives_what_was_not_yet_given(stage: StageClips, first: int, world: int, workers: int) -> None:
    rest = read(stage, first, world=world, workers=workers)
    assert sequence(rest) == sequence(read(stage))[first:]


def test_a_mixture_is_of_two_classes_and_says_which_sources_are_rehearsed(stage: StageClips) -> None:
    partners_from_memory = []
    for update in read(stage)[0]:
        [batch] = update.batches
        assert batch.sources.shape == (8, 2, 11_025) and batch.frames.shape == (16, 2, 3, 16, 16)
        one, other = batch.classes[::2], batch.classes[1::2]
        assert (one != other).all() and batch.from_memory[::2].tolist() == [False] * 4 + [True] * 4
        assert (batch.classes[batch.from_memory] < 2).all() and (batch.classes[~batch.from_memory] >= 2).all()
        assert [key.startswith("val") for key in batch.keys] == batch.from_memory.tolist()
        partners_from_memory += batch.from_memory[1::2].tolist()
    assert 0 < sum(partners_from_memory) < len(partners_from_memory)


def test_clips_of_one_update_are_cut_and_changed_each_in_its_way(stage: StageClips) -> None:
    copies = [replace(stage.clips[0], key=f"copy{number}") for number in range(len(stage.clips))]
    alike, with_themselves = replace(stage, clips=copies, plan=replace(stage.plan, pairing="any")), 0
    for update in read(alike)[0]:
        [batch] = update.batches
        same = [frames for key, frames in zip(batch.keys, batch.frames, strict=True) if key.startswith("copy")]
        assert len({frames.numpy().tobytes() for frames in same}) == len(same) > 4
        with_themselves += sum(one == other for one, other in zip(batch.keys[::2], batch.keys[1::2], strict=True))
    assert with_themselves


@pytest.mark.parametrize("world", [1, 2])
def test_partners_from_memory_are_delivered_too(stage: StageClips, world: int) -> None:
    """Exemplars lie nowhere on this rank's disk: what is not delivered cannot be read."""
    held, packed = [], []
    for clip in stage.exemplars:
        held.append(b"".join(ShardReader().read(clip).values()))
        start, members = 0, {}
        for name, member in clip.members.items():
            members[name] = replace(member, offset=start)
            start += member.size
        packed.append(replace(clip, shard=Path("elsewhere"), members=members))
    asked: list[Sequence[Sequence[int]]] = []

    def updates(rank: int) -> list[Update]:
        def deliver(drawn: Sequence[Sequence[int]]) -> dict[int, bytes]:
            asked.append(drawn)
            return {number: held[number] for number in drawn[rank]}

        far = replace(stage, exemplars=packed, deliver=deliver)
        return list(training_updates(far, 0, UPDATES, rank, world, 8))

    assert sequence([updates(rank) for rank in range(world)]) == sequence(read(stage))
    assert all(asked[number] == asked[number + UPDATES * rank] for rank in range(world) for number in range(UPDATES))
    assert any(sum(map(len, drawn)) > stage.plan.memory_slots for drawn in asked)


@pytest.mark.parametrize("world", [1, 2])
def test_evaluation_reads_mixtures_as_they_are_arranged(stage: StageClips, world: int) -> None:
    clips = [stage.clips[number] for number in (0, 3, 1, 0, 2, 5, 4, 0)]
    transform = stage.exemplars_transform
    by_rank = [list(evaluation_batches(clips, transform, stage.config, rank, world, 4)) for rank in range(world)]
    found = [batch for turn in zip(*by_rank, strict=True) for batch in turn]
    assert [key for batch in found for key in batch.keys] == [clip.key for clip in clips]
    assert found[0].waveforms[0].equal(found[0].waveforms[3]) and not found[0].from_memory.any()
