import math

import pytest

from cavs_dist.engine import OptimConfig
from cavs_dist.schedule import rate


def rates(updates: int, **optim: object) -> list[float]:
    config = OptimConfig(lr=2.0, **optim)  # type: ignore[arg-type]
    return [rate(config, update, updates) for update in range(updates)]


def test_constant() -> None:
    assert rates(5) == [2.0] * 5


def test_the_rise_is_linear_and_ends_at_the_full_rate() -> None:
    assert rates(20, warmup=0.2) == [0.5, 1.0, 1.5, 2.0] + [2.0] * 16


def test_a_half_cosine_falls_to_nothing() -> None:
    found = rates(11, schedule="cosine", warmup=0.1)
    assert found[:2] == [2.0, 2.0]
    assert found[6] == pytest.approx(1.0)
    assert found[10] == pytest.approx(1 + math.cos(math.pi * 0.9))
    assert found[1:] == sorted(found[1:], reverse=True)


def test_a_stage_of_one_update_learns() -> None:
    assert rates(1, schedule="cosine", warmup=0.1) == [2.0]
    assert rates(1, schedule="cosine", warmup=1.0) == [2.0]
