import math

import numpy as np
import pytest

from cavs_dist.metrics.bootstrap import DRAWS, interval_of_mean
from cavs_dist.randomness import generator


def direct(values: list[float], level: float) -> tuple[float, float]:
    """Draw by draw: the means, sorted, and the places between them where the percentiles lie."""
    drawn = generator("bootstrap", len(values)).integers(len(values), size=(DRAWS, len(values))).tolist()
    means = sorted(math.fsum(values[number] for number in row) / len(values) for row in drawn)

    def percentile(share: float) -> float:
        place = share * (DRAWS - 1)
        below = math.floor(place)
        return means[below] + (place - below) * (means[min(below + 1, DRAWS - 1)] - means[below])

    return percentile((1 - level) / 2), percentile((1 + level) / 2)


@pytest.mark.parametrize("level", [0.5, 0.9, 0.95])
def test_it_is_the_percentiles_of_the_means_of_draws(level: float) -> None:
    values = np.random.default_rng(0).normal(1, 3, 17).tolist()
    assert interval_of_mean(values, level) == pytest.approx(direct(values, level), abs=1e-12)


def test_its_width_is_that_of_a_mean_of_many() -> None:
    """Of many numbers the interval is mean -+ 1.96 deviations of the mean, but for the noise of its draws."""
    values = np.random.default_rng(1).normal(2, 5, 400)
    low, high = interval_of_mean(values.tolist())
    deviation = values.std() / 20
    assert low == pytest.approx(values.mean() - 1.96 * deviation, abs=0.2 * deviation)
    assert high == pytest.approx(values.mean() + 1.96 * deviation, abs=0.2 * deviation)


def test_it_has_the_true_mean_inside_about_as_often_as_its_level_says() -> None:
    rng, inside = np.random.default_rng(2), 0
    for _ in range(200):
        low, high = interval_of_mean(rng.normal(0, 1, 40).tolist(), 0.8)
        inside += low <= 0 <= high
    # Five standard deviations of 200 trials at 0.8.
    assert abs(inside / 200 - 0.8) < 5 * (0.8 * 0.2 / 200) ** 0.5


def test_the_same_numbers_give_the_same_interval_and_units_carry_through() -> None:
    values = [0.5, -1.0, 3.25, 2.0]
    low, high = interval_of_mean(values)
    assert (low, high) == interval_of_mean(values)
    assert interval_of_mean([2 * value + 1 for value in values]) == pytest.approx((2 * low + 1, 2 * high + 1))
    assert interval_of_mean([-value for value in values]) != (low, high)


def test_what_cannot_vary_has_no_width() -> None:
    assert interval_of_mean([]) == (0.0, 0.0)
    assert interval_of_mean([1.5]) == interval_of_mean([1.5] * 9) == (1.5, 1.5)
