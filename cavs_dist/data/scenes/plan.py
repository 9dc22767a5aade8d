"""What happens in a clip, drawn from (seed, split, index): who is there, how they move, when they sound.

Every choice has a generator of its own, so that changing one option (the co-occurrence, say) leaves the rest as it was.
"""

import math
from dataclasses import dataclass

import numpy as np

from cavs_dist.data.scenes.config import ScenesConfig, partner
from cavs_dist.data.scenes.items import bank
from cavs_dist.data.scenes.sound import Cue
from cavs_dist.randomness import generator


@dataclass(frozen=True)
class Pose:
    """Where an object is. x, y: its centre, 0..1 of the frame. side: root of its box's area, 0..1. angle: degrees."""

    x: float
    y: float
    side: float
    angle: float


@dataclass(frozen=True)
class Actor:
    """An object: the picture shown, mirrored or not, with its channels multiplied by `tint`; cue: None is silent."""

    name: str
    picture: str
    mirrored: bool
    tint: tuple[float, float, float]
    begin: Pose
    end: Pose
    cue: Cue | None


@dataclass(frozen=True)
class Backdrop:
    """A square cut of a photograph. x, y: where, 0..1 of the room left. zoom: 0..1 of the shorter side.

    blur: radius, 0..1 of the frame. light: factor of the brightness.
    """

    file: str
    x: float
    y: float
    zoom: float
    blur: float
    light: float
    mirrored: bool


@dataclass(frozen=True)
class Scene:
    """A clip before it is drawn. actors: the one in front last."""

    backdrop: Backdrop
    actors: tuple[Actor, ...]


def plan(config: ScenesConfig, split: str, index: int) -> Scene:
    """Draw the scene of clip `index`; val is drawn from the training side of the bank."""
    rng = generator("scenes", config.seed, split, index, "cast")
    main = config.names[index % len(config.names)]
    side = "test" if split == "test" else "train"
    direction = rng.uniform(0, 2 * math.pi)
    in_front = rng.random() < 0.5
    with_second = rng.random() < config.second
    sounds_too = rng.random() < config.sounds_too
    second = _companion(config, main, config.partner_test if split == "test" else config.partner_train, rng)

    def actor(role: str, name: str, direction: float, distance: float, sounds: bool) -> Actor:
        draws = generator("scenes", config.seed, split, index, role)
        return _actor(draws, name, side, direction, distance, config if sounds else None)

    actors = [actor("main", main, direction, 0.24 if with_second else 0.12, True)]
    if with_second:
        actors.insert(int(in_front), actor("second", second, direction + math.pi, 0.24, sounds_too))
    return Scene(_backdrop(generator("scenes", config.seed, split, index, "backdrop"), side), tuple(actors))


def _companion(config: ScenesConfig, main: str, rate: float, rng: np.random.Generator) -> str:
    """Name the second object's class: the partner at `rate`, else another one."""
    usual = partner(config.names, main)
    is_usual, pick = rng.random() < rate, rng.random()
    others = [name for name in config.names if name not in (main, usual)]
    return others[int(pick * len(others))] if others and not is_usual else usual


def _actor(
    rng: np.random.Generator, name: str, side: str, direction: float, distance: float, heard: ScenesConfig | None
) -> Actor:
    shelf = bank().shelves[name, side]
    begin = Pose(
        x=_within(0.5 + distance * math.cos(direction) + rng.uniform(-0.06, 0.06)),
        y=_within(0.5 + distance * math.sin(direction) + rng.uniform(-0.06, 0.06)),
        side=rng.uniform(0.4, 0.62),
        angle=rng.uniform(-20, 20),
    )
    end = Pose(
        x=_within(begin.x + rng.uniform(-0.15, 0.15)),
        y=_within(begin.y + rng.uniform(-0.15, 0.15)),
        side=begin.side * rng.uniform(0.8, 1.25),
        angle=begin.angle + rng.uniform(-25, 25),
    )
    red, green, blue = rng.uniform(0.8, 1.2, 3)
    picture = shelf.pictures[rng.integers(len(shelf.pictures))]
    mirrored = bool(rng.random() < 0.5)
    cue = None if heard is None else _cue(rng, list(shelf.recordings.values()), heard)
    return Actor(name, picture, mirrored, (red, green, blue), begin, end, cue)


def _within(centre: float) -> float:
    """Keep an object's centre away from the frame's edges."""
    return min(max(centre, 0.22), 0.78)


def _cue(rng: np.random.Generator, recordings: list[list[str]], config: ScenesConfig) -> Cue:
    """Draw a recording and when it plays: throughout, at that rate, else for some whole seconds in a row."""
    files = recordings[rng.integers(len(recordings))]
    order = tuple(files[k] for k in rng.permutation(len(files)))
    whole = int(config.seconds)
    length = int(rng.integers(1, whole)) if whole > 1 and rng.random() > config.throughout else whole
    start = int(rng.integers(0, whole - length + 1))
    stop = start + length if start + length < whole else config.seconds
    return Cue(order, rng.uniform(0, 8), rng.uniform(0.9, 1.1), rng.uniform(-26, -18), start, stop)


def _backdrop(rng: np.random.Generator, side: str) -> Backdrop:
    files = bank().backgrounds[side]
    return Backdrop(
        file=files[rng.integers(len(files))],
        x=rng.random(),
        y=rng.random(),
        zoom=rng.uniform(0.4, 1),
        blur=rng.uniform(0.01, 0.025),
        light=rng.uniform(0.4, 0.75),
        mirrored=bool(rng.random() < 0.5),
    )
