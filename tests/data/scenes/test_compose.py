from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cavs_dist.data.clip import Clip
from cavs_dist.data.decode import STANDARD_LIMITS, load_clip
from cavs_dist.data.scenes.compose import compose, render_scenes
from cavs_dist.data.scenes.config import CLASSES, ScenesConfig
from cavs_dist.data.scenes.sound import heard_in
from cavs_dist.data.shard import ShardReader, read_split

CONFIG = ScenesConfig(train=2, val=1, test=1, size=32, second=0.7, sounds_too=0.5, clips_per_shard=10, workers=1)


@pytest.fixture(scope="module")
def clips() -> list[Clip]:
    return [compose(CONFIG, "train", index) for index in range(80)]


def test_masks_hold_what_is_heard_and_silent_the_rest(clips: list[Clip]) -> None:
    for clip in clips:
        assert clip.silent is not None
        assert set(clip.sources) == set(clip.classes) <= set(clip.objects)
        assert not np.any((clip.masks > 0) & (clip.silent > 0))
        for name in clip.objects:
            id_ = 1 + CONFIG.names.index(name)
            heard = heard_in(clip.sources[name], 5) if name in clip.sources else np.zeros(5, bool)
            assert not (clip.masks == id_)[~heard].any()
            assert not (clip.silent == id_)[heard].any()
        assert np.unique(clip.masks | clip.silent).size == 1 + len(clip.objects)


def test_every_source_is_heard_in_some_second_and_most_seconds_are_labelled() -> None:
    config = replace(CONFIG, classes=CLASSES, second=0.3)
    many = [compose(config, split, index) for split in ("train", "test") for index in range(180)]
    assert all(heard_in(waveform, 5).any() for clip in many for waveform in clip.sources.values())
    labelled = np.mean([(clip.masks > 0).any(axis=(1, 2)).mean() for clip in many])
    assert 0.7 < labelled < 0.9


def test_the_waveform_is_the_sum_of_its_sources_and_does_not_clip(clips: list[Clip]) -> None:
    for clip in clips:
        total = np.sum(list(clip.sources.values()), axis=0)
        np.testing.assert_allclose(clip.waveform, total, atol=1e-6)
        assert len(clip.waveform) == 5 * clip.rate and np.abs(clip.waveform).max() < 1


def test_a_clip_depends_on_seed_split_and_index_alone() -> None:
    one, same = compose(CONFIG, "train", 9), compose(replace(CONFIG, train=99, workers=7), "train", 9)
    np.testing.assert_array_equal(one.frames, same.frames)
    np.testing.assert_array_equal(one.waveform, same.waveform)
    for other in (compose(CONFIG, "val", 9), compose(replace(CONFIG, seed=1), "train", 9)):
        assert not np.array_equal(one.waveform, other.waveform)


def test_rendered_shards_give_back_the_clips(tmp_path: Path) -> None:
    render_scenes(tmp_path, CONFIG)
    for split, count in {"train": 16, "val": 8, "test": 8}.items():
        indexes = read_split(tmp_path, split)
        entries = [entry for index in indexes for entry in index.clips]
        assert dict(indexes[0].names) == dict(enumerate(CONFIG.names, start=1))
        assert len(entries) == count
        stored = load_clip(ShardReader(), entries[5], STANDARD_LIMITS, extras=True)
        made = compose(CONFIG, split, 5)
        assert (stored.classes, stored.objects) == (made.classes, made.objects)
        np.testing.assert_array_equal(stored.masks, made.masks)
        np.testing.assert_array_equal(stored.silent, made.silent)
        total = np.sum(list(stored.sources.values()), axis=0)
        np.testing.assert_allclose(stored.waveform, total, atol=(1 + len(stored.sources)) / 2**15)


def test_another_option_of_what_is_heard_is_another_data_set(tmp_path: Path) -> None:
    """Clips of one second sound throughout whatever is asked for, and yet the shards do not pass for each other."""
    short = replace(CONFIG, train=1, val=0, test=0, num_classes=2, seconds=1.0, frames=1)
    digests = []
    for throughout in (0.6, 0.6, 1.0):
        render_scenes(tmp_path, replace(short, throughout=throughout))
        [index] = read_split(tmp_path, "train")
        digests.append(index.plan)
    assert digests[0] == digests[1] != digests[2]


def test_any_number_of_workers_gives_the_same_bytes(tmp_path: Path) -> None:
    for workers in (1, 2):
        render_scenes(tmp_path / str(workers), replace(CONFIG, val=0, test=0, workers=workers))
    names = sorted(path.name for path in (tmp_path / "1").iterdir())
    assert len(names) == 5  # two shards with their indexes, and what lists these
    assert all((tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes() for name in names)
