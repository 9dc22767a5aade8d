"""Mixtures to hear and to see in the track: what was mixed, what was taken out of it, and by which masks."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cavs_dist.colour_map import colour_map
from cavs_dist.dashboard.messages import Picture, Sound


def sounds(examples: Mapping[str, NDArray[Any]], classes: Sequence[str], rate: int) -> list[Sound]:
    """Return each mixture, then the estimate and the truth of both sources.

    examples: as `Separation.save_examples` writes them. classes: by position. rate: Hz.
    """
    heard: list[Sound] = []
    for number, names in enumerate(_names(examples, classes)):
        truth, estimates = (examples[name][number].astype(np.float32) for name in ("truth", "estimates"))
        mixture = truth.sum(axis=0)
        # One factor for all, so that what is softer in the mixture is softer alone too.
        loudest = max(float(np.abs(signal).max()) for signal in (mixture, truth, estimates)) or 1.0
        signals = [(" and ".join(names), mixture)]
        for name, estimate, true in zip(names, estimates, truth, strict=True):
            signals += [(f"{name}, estimate", estimate), (f"{name}, truth", true)]
        heard += [Sound(f"mixture {number}: {what}", signal / loudest, rate) for what, signal in signals]
    return heard


def spectrograms(examples: Mapping[str, NDArray[Any]], classes: Sequence[str]) -> list[Picture]:
    """Return the warped log spectrogram of each mixture, then the mask and the true ratio mask of both sources."""
    seen: list[Picture] = []
    for number, names in enumerate(_names(examples, classes)):
        level = examples["spectrogram"][number].astype(np.float32)
        drawn = [(" and ".join(names), level / max(float(level.max()), 1e-6))]
        for source, name in enumerate(names):
            drawn += [
                (f"{name}, mask", examples["masks"][number, source]),
                (f"{name}, true ratio mask", examples["ratio_masks"][number, source]),
            ]
        seen += [Picture(f"mixture {number}: {what}", coloured(values)) for what, values in drawn]
    return seen


def coloured(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Return a picture [F, T, 3] of values [F, T] from 0 to 1, the lowest frequency at the bottom."""
    steps = (values[::-1].astype(np.float32).clip(0, 1) * 255).round().astype(np.uint8)
    return colour_map()[steps]


def _names(examples: Mapping[str, NDArray[Any]], classes: Sequence[str]) -> list[list[str]]:
    return [[classes[position] for position in pair] for pair in examples["classes"].tolist()]
