import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from cavs_dist.curriculum import CurriculumConfig, make_stages
from cavs_dist.data.clip import Clip
from cavs_dist.data.config import DataConfig
from cavs_dist.data.decode import encode_clip, load_clip
from cavs_dist.data.shard import CorruptClip, ShardReader, write_shards
from cavs_dist.data.split import of_seen, of_stage, open_split
from cavs_dist.errors import InputError

STAGES = make_stages(("bell", "cow", "train", "violin"), CurriculumConfig(split="2-1"))


def test_a_split_is_its_shards(scenes: Path) -> None:
    split = open_split(DataConfig(path=str(scenes)), "train")
    assert split.shard_sizes == (8, 8, 8) and split.frames == 3
    assert [clip.key for clip in split.clips] == [f"train-{number:06d}" for number in range(24)]
    assert dict(split.names) == {1: "bell", 2: "cow", 3: "train", 4: "violin"}


def test_sources(scenes: Path) -> None:
    kept = {
        sources: {clip.key for clip in open_split(DataConfig(str(scenes), sources), "train").clips}  # type: ignore[arg-type]
        for sources in ("any", "single", "multiple")
    }
    assert kept["single"] | kept["multiple"] == kept["any"] and not kept["single"] & kept["multiple"]
    multiple = open_split(DataConfig(str(scenes), "multiple"), "train")
    assert multiple.clips and all(len(clip.meta.classes) > 1 for clip in multiple.clips)


@pytest.mark.parametrize("stage", [0, 1, 2])
def test_a_stage_s_clips_keep_their_shards(scenes: Path, stage: int) -> None:
    split = open_split(DataConfig(path=str(scenes)), "train")
    overlapped, disjoint = (of_stage(split, STAGES, stage, protocol) for protocol in ("overlapped", "disjoint"))
    new, later = set(STAGES[stage].new), set(STAGES[-1].seen) - set(STAGES[stage].seen)
    heard = [(clip.key, set(clip.meta.classes)) for clip in split.clips]
    assert [clip.key for clip in overlapped.clips] == [key for key, classes in heard if classes & new]
    assert [clip.key for clip in disjoint.clips] == [key for key, c in heard if c & new and not c & later]
    assert len(overlapped.shard_sizes) == 3 and sum(overlapped.shard_sizes) == len(overlapped.clips)


def test_joint_training_sees_every_class_so_far(scenes: Path) -> None:
    split = open_split(DataConfig(path=str(scenes)), "train")
    assert [clip.key for clip in of_seen(split, STAGES[2]).clips] == [clip.key for clip in split.clips]
    some = of_seen(split, STAGES[0]).clips
    assert [clip for clip in split.clips if {"bell", "cow"} & set(clip.meta.classes)] == list(some)


def test_a_source_without_clips_is_said(make_clip: Callable[[int], Clip], tmp_path: Path) -> None:
    write_shards(tmp_path, "train", [0, 2], lambda number: encode_clip(make_clip(number)), {1: "guitar", 7: "dog"})
    with pytest.raises(InputError, match=r"train has no clip for data\.sources=multiple"):
        open_split(DataConfig(str(tmp_path), "multiple"), "train")


def test_a_stage_without_clips_is_said(data_set: Path) -> None:
    split = open_split(DataConfig(path=str(data_set)), "train")
    stages = make_stages(("dog", "whale"), CurriculumConfig(split="1-1"))
    with pytest.raises(InputError, match="stage 1 has no clip: none of whale is heard"):
        of_stage(split, stages, 1, "overlapped")


def test_a_truncated_shard_is_an_error_or_loses_the_clips_it_lost(scenes: Path, tmp_path: Path) -> None:
    for path in scenes.glob("train-*"):
        shutil.copy(path, tmp_path)
    tar = tmp_path / "train-000001.tar"
    os.truncate(tar, tar.stat().st_size // 2)
    with pytest.raises(InputError, match=r"train-000001\.tar has \d+ bytes, its index says \d+ bytes"):
        open_split(DataConfig(path=str(tmp_path)), "train")
    config = DataConfig(path=str(tmp_path), on_corrupt="skip")
    read, lost = [], []
    for clip in open_split(config, "train").clips:
        try:
            read.append(load_clip(ShardReader(), clip, config.limits).key)
        except CorruptClip as error:
            lost.append(error.key)
    assert len(read) + len(lost) == 24 and 0 < len(lost) < 8
