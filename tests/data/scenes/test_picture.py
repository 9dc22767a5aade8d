from dataclasses import replace

import numpy as np
import pytest

from cavs_dist.data.scenes.config import ScenesConfig
from cavs_dist.data.scenes.items import bank
from cavs_dist.data.scenes.picture import draw
from cavs_dist.data.scenes.plan import Actor, Backdrop, Pose, Scene, plan

BACKDROP = Backdrop(bank().backgrounds["train"][0], x=0.5, y=0.5, zoom=0.6, blur=0.02, light=0.5, mirrored=False)
STILL = Pose(0.5, 0.5, 0.5, 0)


def actor(begin: Pose = STILL, end: Pose = STILL, name: str = "piano", number: int = 2) -> Actor:
    picture = bank().shelves[name, "train"].pictures[number]
    return Actor(name, picture, mirrored=False, tint=(1, 1, 1), begin=begin, end=end, cue=None)


def centre(owner: np.ndarray) -> tuple[float, float]:
    rows, columns = np.nonzero(owner)
    return float(columns.mean() + 0.5) / owner.shape[1], float(rows.mean() + 0.5) / owner.shape[0]


@pytest.mark.parametrize("size", [16, 64, 97])
def test_shapes(size: int) -> None:
    colours, owners = draw(plan(ScenesConfig(), "train", 1), size, 3)
    assert (colours.shape, colours.dtype) == ((3, size, size, 3), np.uint8)
    assert (owners.shape, owners.dtype) == ((3, size, size), np.uint8)


def test_an_object_goes_from_its_first_pose_to_its_last() -> None:
    begin, end = Pose(0.3, 0.4, 0.3, 0), Pose(0.7, 0.6, 0.45, 0)
    _, owners = draw(Scene(BACKDROP, (actor(begin, end),)), 96, 5)
    for owner, pose in ((owners[0], begin), (owners[-1], end)):
        assert centre(owner) == pytest.approx((pose.x, pose.y), abs=0.01)
        # The picture is nearly a full square.
        assert owner.mean() == pytest.approx(pose.side**2, rel=0.1)
    path = [centre(owner)[0] for owner in owners]
    assert path == sorted(path)


def test_an_object_turns_about_its_centre() -> None:
    upright, turned = (draw(Scene(BACKDROP, (actor(replace(STILL, angle=a), replace(STILL, angle=a)),)), 96, 1)[1][0]
                       for a in (0, 90))  # fmt: skip
    assert np.mean(np.rot90(upright) == turned) > 0.97


def test_the_last_actor_is_in_front() -> None:
    back = actor(Pose(0.4, 0.5, 0.5, 0), Pose(0.4, 0.5, 0.5, 0))
    front = actor(Pose(0.6, 0.5, 0.5, 0), Pose(0.6, 0.5, 0.5, 0))
    _, (both,) = draw(Scene(BACKDROP, (back, front)), 96, 1)
    _, (alone,) = draw(Scene(BACKDROP, (front,)), 96, 1)
    np.testing.assert_array_equal(both == 2, alone == 1)
    assert (both == 1).any()


def test_pixels_change_where_the_object_is_and_nowhere_else() -> None:
    (empty,), _ = draw(Scene(BACKDROP, ()), 96, 1)
    (full,), (owner,) = draw(Scene(BACKDROP, (actor(),)), 96, 1)
    changed = (empty != full).any(axis=-1)
    assert changed[owner == 1].mean() > 0.95
    inner = owner[1:-1, 1:-1]
    touched = np.max([owner[1 + y : 95 + y, 1 + x : 95 + x] for y in (-1, 0, 1) for x in (-1, 0, 1)], axis=0)
    assert not changed[1:-1, 1:-1][(inner == 0) & (touched == 0)].any()


def test_tint_multiplies_the_object_alone() -> None:
    dark = replace(actor(), tint=(0.5, 0.5, 0.5))
    (plain,), (owner,) = draw(Scene(BACKDROP, (actor(),)), 96, 1)
    (tinted,), _ = draw(Scene(BACKDROP, (dark,)), 96, 1)
    np.testing.assert_array_equal(plain[:10], tinted[:10])
    inside = owner[48, 48] == 1
    assert inside and tinted[owner == 1].mean() == pytest.approx(plain[owner == 1].mean() / 2, rel=0.05)


def test_mirroring() -> None:
    rotated = actor(number=0)
    _, (owner,) = draw(Scene(BACKDROP, (rotated,)), 96, 1)
    _, (mirrored,) = draw(Scene(BACKDROP, (replace(rotated, mirrored=True),)), 96, 1)
    assert np.mean(owner[:, ::-1] == mirrored) > 0.97 > np.mean(owner == mirrored)
