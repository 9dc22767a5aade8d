from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from cavs_dist.data.augment import MEAN, STD, AugmentConfig, hear, normalise
from cavs_dist.data.clip import Clip
from cavs_dist.data.config import DataConfig
from cavs_dist.data.segmentation import Sample, collate, evaluation_sample, training_sample

TABLE = np.full(256, 255, np.uint8)
TABLE[[0, 1, 7]] = [0, 2, 1]


def config(size: int, **augment: float) -> DataConfig:
    return DataConfig(path="", size=size, step=0.1, augment=AugmentConfig(**augment))


def square(clip: Clip) -> Clip:
    return replace(clip, frames=clip.frames[:, :, 2:14], masks=clip.masks[:, :, 2:14], rate=16_000)


def test_evaluation_sees_the_whole_clip(make_clip: Callable[[int], Clip]) -> None:
    clip = square(make_clip(0))
    sample = evaluation_sample(clip, config(12), TABLE)
    assert torch.from_numpy(normalise(clip.frames)).equal(sample.frames)
    assert torch.from_numpy(TABLE[clip.masks]).equal(sample.labels.byte()) and sample.labels.dtype == torch.int64
    assert sample.audio.equal(hear(clip.waveform, np.array([0.0, 0.1, 0.2])))
    assert sample.annotated.tolist() == [True, True, False] and (sample.labels[2] == 255).all()
    assert evaluation_sample(make_clip(0), config(8), TABLE).frames.shape == (3, 3, 8, 8)


def train(clip: Clip, chosen: list[int], seed: int, **augment: float) -> Sample:
    rng = np.random.default_rng(seed)
    return training_sample(clip, chosen, config(12, **augment), TABLE, rng, from_memory=True)


def test_training_hears_the_chosen_frames(make_clip: Callable[[int], Clip]) -> None:
    clip = square(make_clip(1))
    part = replace(clip, frames=clip.frames[[0, 2]], masks=clip.masks[[0, 2]], annotated=clip.annotated[[0, 2]])
    sample, everything = train(part, [0, 2], 0), evaluation_sample(clip, config(12), TABLE)
    for name in ("frames", "audio", "labels", "annotated"):
        assert getattr(sample, name).equal(getattr(everything, name)[[0, 2]]), name
    assert sample.from_memory and not everything.from_memory


def test_frames_and_labels_are_flipped_and_cropped_together(make_clip: Callable[[int], Clip]) -> None:
    clip = make_clip(2)
    red = np.where(clip.masks == 255, 0, clip.masks) * np.uint8(30)
    marked = replace(clip, frames=np.repeat(red[..., None], 3, axis=-1))
    for seed in range(8):
        sample = train(marked, [0, 1, 2], seed, flip=0.5)
        seen = ((sample.frames[:, 0] * STD[0] + MEAN[0]) * 255 / 30).round().int()
        labelled = sample.labels != 255
        assert np.array_equal(TABLE[seen[labelled]], sample.labels[labelled])
    plain, flipped = train(clip, [0, 1, 2], 0), train(clip, [0, 1, 2], 0, flip=1.0)
    assert flipped.frames.equal(plain.frames.flip(-1)) and flipped.labels.equal(plain.labels.flip(-1))


def test_clips_are_padded_with_frames_that_count_nothing(make_clip: Callable[[int], Clip]) -> None:
    first, second = (evaluation_sample(square(make_clip(number)), config(12), TABLE) for number in (0, 1))
    short = replace(second, **{name: getattr(second, name)[:1] for name in ("frames", "audio", "labels", "annotated")})
    batch = collate([first, replace(short, from_memory=True)], 4)
    assert batch.keys == ("clip-0", "clip-1") and batch.from_memory.tolist() == [False, True]
    assert batch.present.tolist() == [[True, True, True, False], [True, False, False, False]]
    assert batch.annotated.tolist() == [[True, True, False, False], [True, False, False, False]]
    assert batch.label_weight.tolist() == batch.annotated.flatten().tolist()
    assert batch.frame_weight.tolist() == batch.present.flatten().tolist()
    assert batch.frames[:3].equal(first.frames) and batch.frames[4].equal(second.frames[0])
    padded = ~batch.present.flatten()
    assert not batch.frames[padded].any() and not batch.audio[padded].any() and (batch.labels[padded] == 255).all()


def test_a_batch_comes_apart_into_its_clips(make_clip: Callable[[int], Clip]) -> None:
    samples = [evaluation_sample(make_clip(number), config(8), TABLE) for number in (0, 1, 2)]
    together = collate(samples, 4)
    for clip, sample in zip(together.one_by_one(), samples, strict=True):
        alone = vars(collate([sample], 4))
        assert clip.keys == alone.pop("keys")
        assert all(getattr(clip, name).equal(value) for name, value in alone.items())


def test_moving_keeps_everything(make_clip: Callable[[int], Clip]) -> None:
    batch = collate([evaluation_sample(make_clip(0), config(8), TABLE)], 3)
    moved = batch.to(torch.device("meta"))
    assert moved.keys == batch.keys
    assert {value.device.type for value in vars(moved).values() if isinstance(value, torch.Tensor)} == {"meta"}
    assert moved.frames.shape == batch.frames.shape
