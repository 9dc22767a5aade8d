"""Clips that tell where they were cut: frame t is grey of 10 t, and the waveform rises with time."""

import io
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from numpy.typing import NDArray

from cavs_dist.data.augment import MEAN, STD, AugmentConfig
from cavs_dist.data.clip import Clip, Encoded
from cavs_dist.data.config import DataConfig, MixConfig
from cavs_dist.data.decode import encode_clip
from cavs_dist.data.separation import SeparationTransform, Source, around, crop, middles
from cavs_dist.data.shard import ClipEntry, CorruptClip, ShardReader, read_split, write_shards

RATE, FRAMES, SLOPE = 8000, 12, 0.05
# Crops of 2.5 frames.
MIX = MixConfig(rate=RATE, samples=5 * RATE // 2)
DOG, GUITAR = 0, 1


def rising(number: int) -> Clip:
    """A clip of 12 s with a frame a second; the dog in it is half as loud as all, odd clips have a guitar first."""
    waveform = (SLOPE * np.arange(FRAMES * RATE) / RATE).astype(np.float32)
    grey = np.arange(FRAMES, dtype=np.uint8)[:, None, None, None] * np.uint8(10)
    return Clip(
        key=f"clip-{number}",
        frames=np.broadcast_to(grey, (FRAMES, 16, 16, 3)),
        masks=np.full((FRAMES, 16, 16), 255, np.uint8),
        annotated=np.zeros(FRAMES, bool),
        waveform=waveform,
        rate=RATE,
        classes=("guitar", "dog") if number % 2 else ("dog",),
        sources={"dog": waveform / 2} if number % 2 else {},
    )


def array(values: NDArray[Any]) -> bytes:
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()


def nothing() -> bytes:
    """A wav without samples."""
    file = io.BytesIO()
    soundfile.write(file, np.empty(0, np.float32), RATE, format="WAV")
    return file.getvalue()


OBJECTS = np.arange(FRAMES * 5, dtype=np.float16).reshape(FRAMES, 5)
MOVES = np.linspace(0, 1, 28).reshape(7, 4)
FEATURES = {"feature.object.npy": array(OBJECTS), "feature.motion.npy": array(MOVES)}


def encoded(number: int) -> Encoded:
    """Number 3 has no motion, 4 has objects of one frame only, 6 has no sound."""
    clip = encode_clip(rising(number))
    members = {**clip.members, **FEATURES}
    if number == 3:
        del members["feature.motion.npy"]
    if number == 4:
        members["feature.object.npy"] = array(OBJECTS[:1])
    if number == 6:
        del members["audio.flac"]
        members["audio.wav"] = nothing()
    return replace(clip, members=members)


@pytest.fixture
def clips(tmp_path: Path) -> tuple[ClipEntry, ...]:
    write_shards(tmp_path, "train", range(7), encoded, {1: "dog", 2: "guitar"})
    return read_split(tmp_path, "train")[0].clips


def transform(*, features: bool = False, mix: MixConfig = MIX, **augment: float) -> SeparationTransform:
    config = DataConfig(path="", size=16, step=1.0, augment=AugmentConfig(**augment), mix=mix)
    return SeparationTransform(config, {"dog": DOG, "guitar": GUITAR}, frames=3, features=features)


def trained(ours: SeparationTransform, entry: ClipEntry, seed: int) -> Source:
    return ours.training(ShardReader(), entry, np.random.default_rng(seed), from_memory=True)


def seen(source: Source) -> list[int]:
    """Which frames a source shows, by their grey."""
    mean, std = torch.from_numpy(MEAN), torch.from_numpy(STD)
    grey = (source.frames.mean(dim=(2, 3)) * std + mean).mean(dim=1) * 255 / 10
    return [int(value) for value in grey.round()]


def heard(source: Source, slope: float = SLOPE) -> tuple[float, float]:
    """The second in which a source's sound begins, and how loud it is beside what was stored."""
    waveform = source.waveform.double()
    rise = float(waveform[-1] - waveform[0]) / (len(waveform) - 1) * RATE
    return float(waveform[0]) / rise, 2 * rise / slope


def test_evaluation_takes_the_middle_as_it_is(clips: tuple[ClipEntry, ...]) -> None:
    """Counted from 1 as in the release, the centre is frame count // 2, which is heard at (centre - 0.5) seconds."""
    source, centre = transform().evaluation(ShardReader(), clips[0]), FRAMES // 2
    assert seen(source) == [centre - 2, centre - 1, centre]
    first = round((centre - 0.5) * RATE - MIX.samples / 2)
    expected = rising(0).waveform[first : first + MIX.samples] / 2
    np.testing.assert_allclose(source.waveform.numpy(), expected, atol=1 / 32768)
    assert source.waveform.dtype == source.frames.dtype == torch.float32 and not source.from_memory


def test_training_draws_a_middle_and_a_gain(clips: tuple[ClipEntry, ...]) -> None:
    """A middle between the margins, which its frames and its sound surround; a gain between 0.5 and 1.5."""
    ours, middle_of, gains = transform(mix=replace(MIX, margin=3)), [], []
    for seed in range(240):
        source = trained(ours, clips[0], seed)
        [before, middle, after] = seen(source)
        start, gain = heard(source)
        assert (before, after) == (middle - 1, middle + 1) and source.from_memory
        assert start == pytest.approx(middle + 0.5 - 1.25, abs=0.01)
        middle_of.append(middle)
        gains.append(gain)
    counts = np.bincount(middle_of, minlength=FRAMES)
    assert not counts[:3].any() and not counts[9:].any()
    # Six middles: chi-square of 5 degrees of freedom stays under its mean and five standard deviations.
    assert ((counts[3:9] - 40) ** 2 / 40).sum() < 5 + 5 * 10**0.5
    assert 0.499 < min(gains) < 0.55 and 1.45 < max(gains) < 1.501 and np.mean(gains) == pytest.approx(1, abs=0.1)


def test_the_margin_of_the_paper_is_nine_from_the_first_and_eight_from_the_last() -> None:
    for count in (17, 30):
        first, last = middles(count, margin=8, length=5.94)
        assert (first + 1, last + 1) == (9, count - 8)


def test_without_a_gain_sound_is_halved_alone_and_loud_sound_is_clipped_first(clips: tuple[ClipEntry, ...]) -> None:
    assert heard(trained(transform(mix=replace(MIX, gain=0.0)), clips[0], 0))[1] == pytest.approx(1, abs=1e-3)
    whole = transform(mix=replace(MIX, samples=11 * RATE, gain=1.0))
    loudest = [float(trained(whole, clips[0], seed).waveform.max()) for seed in range(40)]
    # The waveform rises to 0.6: gains over 1.67 clip it.
    assert max(loudest) == 0.5 and 0 < loudest.count(0.5) < 40


def test_what_is_drawn_is_the_rngs_alone(clips: tuple[ClipEntry, ...]) -> None:
    ours = transform(crop=0.4, flip=0.5, colour=0.3)
    there: SeparationTransform = pickle.loads(pickle.dumps(ours))
    one, same, other = trained(ours, clips[0], 1), trained(there, clips[0], 1), trained(ours, clips[0], 2)
    assert one.frames.equal(same.frames) and one.waveform.equal(same.waveform) and one.key == same.key
    assert not one.frames.equal(other.frames) and not one.waveform.equal(other.waveform)


def test_frames_of_a_crop_are_changed_alike(clips: tuple[ClipEntry, ...]) -> None:
    ours = transform(crop=0.4, flip=0.5, colour=0.3)
    shown, mirrored = [], 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        ramp = np.broadcast_to(np.arange(0, 240, 15, dtype=np.uint8)[None, None, :, None], (3, 16, 16, 3))
        frames = ours._frames(ramp, rng)
        assert frames.shape == (3, 3, 16, 16) and all(np.array_equal(frames[0], frame) for frame in frames)
        mirrored += bool(frames[0, 0, 0, 0] > frames[0, 0, 0, -1])
        shown.append(frames.tobytes())
    assert 0 < mirrored < 20 and len(set(shown)) == 20


def test_a_clip_is_a_source_of_the_first_position_that_sounds_in_it(clips: tuple[ClipEntry, ...]) -> None:
    dog = transform().evaluation(ShardReader(), clips[1])
    assert clips[1].meta.classes[0] == "guitar" and dog.position == DOG
    assert heard(dog)[1] == pytest.approx(0.5, abs=1e-3)
    later = replace(transform(), positions={"guitar": GUITAR, "dog": DOG})
    guitar = later.evaluation(ShardReader(), clips[1])
    assert guitar.position == GUITAR and heard(guitar)[1] == pytest.approx(1, abs=1e-3)


def test_features_are_those_of_the_frames_around_the_middle(clips: tuple[ClipEntry, ...]) -> None:
    pictures = [name for name in clips[0].members if name.startswith("frame")]
    blind = replace(clips[0], members={n: m for n, m in clips[0].members.items() if n not in pictures})
    ours = transform(features=True)
    for seed in range(8):
        source = trained(ours, blind, seed)
        start, _ = heard(source)
        middle = round(start + 1.25 - 0.5)
        assert source.objects.equal(torch.from_numpy(OBJECTS[middle - 1 : middle + 2]).float())
        assert source.motion.equal(torch.from_numpy(MOVES).float()) and not source.frames.numel()
    plain = transform().evaluation(ShardReader(), clips[0])
    assert not plain.objects.numel() and not plain.motion.numel()


@pytest.mark.parametrize(
    ("number", "features", "message"),
    [
        (3, True, r"train-000000\.tar: clip 'clip-3' has no feature\.motion\.npy, which model\.vision=features reads"),
        (4, True, r"'clip-4' has features of shapes \(1, 5\) and \(7, 4\), expected \[frames, D\] and \[E, P\]"),
        (6, False, r"train-000000\.tar: clip 'clip-6' has no sample of dog, expected some sound"),
    ],
)
def test_what_is_not_there_is_named(clips: tuple[ClipEntry, ...], number: int, features: bool, message: str) -> None:
    with pytest.raises(CorruptClip, match=message):
        transform(features=features).evaluation(ShardReader(), clips[number])


def test_a_batch_mixes_neighbours(clips: tuple[ClipEntry, ...]) -> None:
    ours = transform()
    sources = [ours.evaluation(ShardReader(), clips[number]) for number in (0, 1)]
    sources += [trained(ours, clips[number], 3) for number in (2, 0)]
    batch = ours.collate(sources)
    assert ours.clips == 2 and batch.keys == ("clip-0", "clip-1", "clip-2", "clip-0")
    assert batch.waveforms.shape == (4, MIX.samples) and batch.frames.shape == (4, 3, 3, 16, 16)
    assert batch.sources[1].equal(torch.stack([sources[2].waveform, sources[3].waveform]))
    assert batch.from_memory.tolist() == [False, False, True, True]
    assert batch.weight.tolist() == [1.0] * 4 and batch.memory_weight.tolist() == [0.0, 0.0, 1.0, 1.0]
    assert batch.classes.tolist() == [DOG] * 4 and batch.classes.dtype == batch.videos.dtype == torch.int64
    assert batch.videos[0] == batch.videos[3] and len(set(batch.videos.tolist())) == 3 and batch.videos.min() >= 0


def fits(middle: int, frames: int, margin: int, length: float) -> bool:
    inside = middle + 0.5 - length / 2 >= 0 and middle + 0.5 + length / 2 <= frames
    return inside and middle >= margin and frames - 1 - middle >= margin


@pytest.mark.parametrize("margin", [0, 1, 3])
@pytest.mark.parametrize("length", [0.5, 1.0, 2.0, 2.5, 5.94])
def test_middles_are_all_that_leave_the_crop_and_the_margin_inside(margin: int, length: float) -> None:
    for frames in range(1, 20):
        first, last = middles(frames, margin, length)
        fitting = [middle for middle in range(frames) if fits(middle, frames, margin, length)]
        assert list(range(first, last + 1)) == (fitting or sorted({(frames - 1) // 2, frames // 2}))


def test_neighbours_stay_within_the_clip() -> None:
    assert around(5, 3, 12) == [4, 5, 6] and around(5, 1, 12) == [5] and around(5, 4, 12) == [3, 4, 5, 6]
    assert around(0, 3, 12) == [0, 0, 1] and around(11, 3, 12) == [10, 11, 11] and around(0, 3, 1) == [0, 0, 0]


@pytest.mark.parametrize(("start", "first"), [(0.5, 4), (-1.0, 0), (9.0, 12), (1.5, 12), (0.19, 2)])
def test_a_crop_is_moved_inside(start: float, first: int) -> None:
    sound = np.arange(20, dtype=np.float32)
    np.testing.assert_array_equal(crop(sound, 8, start, MixConfig(rate=8, samples=8)), sound[first : first + 8])


@pytest.mark.parametrize("start", [0.0, 0.5, 2.0])
def test_a_sound_as_long_as_the_crop_is_taken_whole(start: float) -> None:
    sound = np.arange(8, dtype=np.float32)
    np.testing.assert_array_equal(crop(sound, 8, start, MixConfig(rate=8, samples=8)), sound)


@pytest.mark.parametrize("length", [1, 3, 7])
def test_a_short_sound_is_repeated(length: int) -> None:
    sound = np.arange(length, dtype=np.float32)
    cut = crop(sound, 8, 0.25, MixConfig(rate=8, samples=8))
    repeats = -(-8 // length)
    first = min(2, repeats * length - 8)
    assert cut.tolist() == [float((first + i) % length) for i in range(8)]


@pytest.mark.parametrize("rate", [8000, 11_025, 16_000, 22_050, 44_100, 48_000])
@pytest.mark.parametrize("samples", [1023, 4096, 65_535])
def test_a_crop_has_its_samples_at_any_rate(rate: int, samples: int) -> None:
    """A tone of 440 Hz, cut 1 s from its beginning, is that tone as it is heard at the new rate."""
    tone = np.sin(2 * np.pi * 440 * np.arange(8 * rate) / rate).astype(np.float32)
    cut = crop(tone, rate, 1.0, MixConfig(samples=samples))
    assert cut.shape == (samples,) and cut.dtype == np.float32
    expected = np.sin(2 * np.pi * 440 * np.arange(samples) / 11_025)
    # A resampler rings at the ends of what it is given.
    np.testing.assert_allclose(cut[200:-200], expected[200:-200], atol=0.01)
