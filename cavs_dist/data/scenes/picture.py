"""Frames: a scene's backdrop and objects drawn with alpha, and which object each pixel belongs to."""

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter, ImageOps

from cavs_dist.data.scenes import items
from cavs_dist.data.scenes.plan import Actor, Backdrop, Pose, Scene

LONGEST = 0.85  # of the frame's side: what a thin object's longer side is held to
SOLID = 128  # alpha from which a pixel is the object's


def draw(scene: Scene, size: int, frames: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Draw `frames` square frames.

    Returns [T, size, size, 3] colours and [T, size, size] owners: 0 backdrop, 1 + k the k-th actor of the scene.
    """
    colours = np.empty((frames, size, size, 3), np.uint8)
    owners = np.zeros((frames, size, size), np.uint8)
    backdrop = _backdrop(scene.backdrop, size)
    sprites = [_sprite(actor, size) for actor in scene.actors]
    for t, moment in enumerate(np.linspace(0, 1, frames)):
        canvas = backdrop.copy()
        for number, (actor, sprite) in enumerate(zip(scene.actors, sprites, strict=True), start=1):
            layer = _placed(sprite, _between(actor.begin, actor.end, moment), size)
            canvas.alpha_composite(layer)
            owners[t][np.asarray(layer.getchannel("A")) >= SOLID] = number
        colours[t] = np.asarray(canvas.convert("RGB"))
    return colours, owners


def _backdrop(backdrop: Backdrop, size: int) -> Image.Image:
    photograph = items.background(backdrop.file)
    side = backdrop.zoom * min(photograph.size)
    left = backdrop.x * (photograph.width - side)
    top = backdrop.y * (photograph.height - side)
    box = (left, top, left + side, top + side)
    cut = photograph.resize((size, size), Image.Resampling.BILINEAR, box=box, reducing_gap=2)
    soft = cut.filter(ImageFilter.GaussianBlur(backdrop.blur * size)).point(lambda value: value * backdrop.light)
    return (ImageOps.mirror(soft) if backdrop.mirrored else soft).convert("RGBA")


def _sprite(actor: Actor, size: int) -> Image.Image:
    """Shrink a picture once, well filtered, to the largest size the clip needs, and tint it."""
    picture = items.picture(actor.picture)
    side = max(actor.begin.side, actor.end.side) * size
    factor = min(side / math.sqrt(picture.width * picture.height), 1.25 * LONGEST * size / max(picture.size))
    shape = (max(1, round(picture.width * factor)), max(1, round(picture.height * factor)))
    shrunk = picture.resize(shape, Image.Resampling.LANCZOS)
    red, green, blue, alpha = (ImageOps.mirror(shrunk) if actor.mirrored else shrunk).split()
    tinted = [
        band.point(lambda value, gain=gain: min(255, value * gain))
        for band, gain in zip((red, green, blue), actor.tint, strict=True)
    ]
    return Image.merge("RGBA", (*tinted, alpha))


def _between(begin: Pose, end: Pose, moment: float) -> Pose:
    """Move smoothly from one pose to another; sizes change by a steady factor."""
    eased = (1 - math.cos(math.pi * moment)) / 2
    return Pose(
        x=begin.x + (end.x - begin.x) * eased,
        y=begin.y + (end.y - begin.y) * eased,
        side=begin.side * (end.side / begin.side) ** eased,
        angle=begin.angle + (end.angle - begin.angle) * eased,
    )


def _placed(sprite: Image.Image, pose: Pose, size: int) -> Image.Image:
    """Put a sprite on an empty frame by the inverse map from frame to sprite."""
    factor = min(pose.side * size / math.sqrt(sprite.width * sprite.height), LONGEST * size / max(sprite.size))
    cosine = math.cos(math.radians(pose.angle)) / factor
    sine = math.sin(math.radians(pose.angle)) / factor
    x, y = pose.x * size, pose.y * size
    inverse = (
        cosine, sine, sprite.width / 2 - cosine * x - sine * y,
        -sine, cosine, sprite.height / 2 + sine * x - cosine * y,
    )  # fmt: skip
    return sprite.transform((size, size), Image.Transform.AFFINE, inverse, Image.Resampling.BILINEAR)
