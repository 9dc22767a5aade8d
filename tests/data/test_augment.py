import numpy as np
import pytest
import torch

from cavs_dist.data.augment import (
    AugmentConfig,
    hear,
    hear_augmented,
    jitter,
    normalise,
    random_box,
    resize,
    whole,
)

STARTS = np.array([0.0, 0.96])
SOUND = np.random.default_rng(5).uniform(-0.5, 0.5, 40_000).astype(np.float32)


def pictures(height: int = 20, width: int = 30) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (2, height, width, 3), np.uint8)


def test_without_crop_the_centre_of_the_short_edge_is_taken() -> None:
    assert random_box(pictures(), AugmentConfig(), np.random.default_rng(0)) == (5.0, 0.0, 25.0, 20.0)
    assert random_box(pictures(30, 20), AugmentConfig(), np.random.default_rng(0)) == (0.0, 5.0, 20.0, 25.0)


def test_crops_are_squares_within_the_picture() -> None:
    rng = np.random.default_rng(0)
    boxes = np.array([random_box(pictures(), AugmentConfig(crop=0.4), rng) for _ in range(300)])
    sides = boxes[:, 2:] - boxes[:, :2]
    np.testing.assert_allclose(sides[:, 0], sides[:, 1])
    assert 12 <= sides.min() < 12.2 and 19.8 < sides.max() <= 20
    assert boxes.min() >= 0 and boxes[:, 2].max() <= 30 and boxes[:, 3].max() <= 20
    assert boxes[:, 0].max() > 15


def test_resizing() -> None:
    square = pictures(8, 8)
    assert resize(square, whole(square), 8) is square
    halves = np.zeros((1, 8, 8), np.uint8)
    halves[:, :, 4:] = 7
    assert resize(halves, (0.0, 0.0, 4.0, 4.0), 6, nearest=True).max() == 0
    assert set(np.unique(resize(halves, whole(halves), 5, nearest=True))) == {0, 7}
    assert np.array_equal(resize(halves, whole(halves), 4, nearest=True), halves[:, ::2, ::2])


def test_normalised_frames_have_imagenet_s_mean_and_deviation() -> None:
    frames = pictures()
    found = normalise(frames)
    assert found.shape == (2, 3, 20, 30) and found.dtype == np.float32
    assert found[1, 2, 3, 4] == pytest.approx((frames[1, 3, 4, 2] / 255 - 0.406) / 0.225, abs=1e-5)


def test_colour_changes_by_its_share_at_most_and_alike_in_all_frames() -> None:
    frames = np.repeat(pictures()[:1], 2, axis=0)
    assert jitter(frames, AugmentConfig(), np.random.default_rng(0)) is frames
    changed = jitter(frames, AugmentConfig(colour=0.3), np.random.default_rng(0))
    assert np.array_equal(changed[0], changed[1]) and not np.array_equal(changed, frames)
    grey = np.full((1, 4, 4, 3), 100, np.uint8)
    levels = [jitter(grey, AugmentConfig(colour=0.3), np.random.default_rng(seed)).mean() for seed in range(200)]
    assert 69 <= min(levels) < 75 and 125 < max(levels) <= 130


def test_nothing_asked_nothing_changed() -> None:
    found = hear_augmented(SOUND, STARTS, AugmentConfig(), np.random.default_rng(0))
    assert found.equal(hear(SOUND, STARTS))


@pytest.mark.parametrize("name", ["speed", "gain", "noise", "bands"])
def test_each_change_of_the_sound_is_a_function_of_its_generator(name: str) -> None:
    config = AugmentConfig(**{name: 0.5})
    first, again, other = (hear_augmented(SOUND, STARTS, config, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first.equal(again)
    assert not first.equal(other) and not first.equal(hear(SOUND, STARTS))


def test_gain_is_in_decibels() -> None:
    loud = 100 * SOUND
    shifts = [
        (hear_augmented(loud, STARTS, AugmentConfig(gain=6.0), np.random.default_rng(seed)) - hear(loud, STARTS)).mean()
        for seed in range(60)
    ]
    most = np.log(10) * 6 / 20
    assert 0.9 * most < max(shifts) <= most + 1e-3 and -most - 1e-3 <= min(shifts) < -0.9 * most


def test_masked_bands_hold_the_mean() -> None:
    plain = hear(SOUND, STARTS)
    found = hear_augmented(SOUND, STARTS, AugmentConfig(bands=0.3), np.random.default_rng(3))
    changed = found != plain
    assert torch.allclose(found[changed], plain.mean(), atol=0.1)
    assert changed.any(dim=2).all(dim=-1).any() and 0 < changed.float().mean() <= 0.6
