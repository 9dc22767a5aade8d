"""Collisions between the classes of an old model and the new truth, counted per clip."""

from cavs_kernels.collision.op import Collisions, collisions

__all__ = ["Collisions", "collisions"]
