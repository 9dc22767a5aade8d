"""The learning rate of each update of a stage."""

import math

from cavs_dist.engine import OptimConfig


def rate(config: OptimConfig, update: int, updates: int) -> float:
    """Return the rate of update `update` of `updates`: a linear rise from 0, then constant or a half cosine to 0."""
    rise = round(config.warmup * updates)
    if update < rise:
        return config.lr * (update + 1) / rise
    if config.schedule == "constant":
        return config.lr
    return config.lr * 0.5 * (1 + math.cos(math.pi * (update - rise) / max(updates - rise, 1)))
