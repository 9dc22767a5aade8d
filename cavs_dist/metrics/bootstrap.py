"""How far chance alone could move a mean: paired bootstrap intervals (Efron, 1979)."""

from collections.abc import Sequence

import numpy as np

from cavs_dist.randomness import generator

DRAWS = 2000


def interval_of_mean(differences: Sequence[float], level: float = 0.95) -> tuple[float, float]:
    """Return the bootstrap interval of the mean of paired differences, such as two models' SDR on the same mixtures.

    Draws as many pairs as there are, with replacement, and takes the percentiles of the means; the same numbers always
    give the same interval. Of no numbers it is (0, 0).
    """
    values = np.asarray(differences, np.float64)
    if not len(values):
        return 0.0, 0.0
    rng = generator("bootstrap", len(values))
    means = values[rng.integers(len(values), size=(DRAWS, len(values)))].mean(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
