import pytest

from cavs_dist.memory.select import DRAWN, ORDERS, SCORED, chance, quotas
from cavs_dist.randomness import keyed_hash


def test_every_rule_is_scored_by_models_drawn_or_herding() -> None:
    assert set(ORDERS) == {*SCORED, *DRAWN, "herding"}


@pytest.mark.parametrize(
    ("rule", "first"), [("consistency", [-0.1, 0.2, 3.0, -4.0]), ("largest", [3.0, 0.2, -0.1, -4.0]),
                        ("smallest", [-4.0, -0.1, 0.2, 3.0]), ("herding", [-4.0, -0.1, 0.2, 3.0])],
)  # fmt: skip
def test_the_orders(rule: str, first: list[float]) -> None:
    assert sorted([3.0, -0.1, 0.2, -4.0], key=ORDERS[rule]) == first  # type: ignore[index]


def test_random_is_a_hash_of_seed_stage_and_key() -> None:
    keys = [f"clip{number}" for number in range(50)]
    drawn = sorted(keys, key=lambda key: chance("random", key, 3, 1))
    assert drawn == sorted(keys, key=lambda key: keyed_hash("random", 3, 1, key))
    assert drawn != sorted(keys, key=lambda key: chance("random", key, 4, 1))
    assert drawn != sorted(keys, key=lambda key: chance("random", key, 3, 2))
    assert all(0 <= chance("random", key, 3, 1) <= 1 for key in keys)


def test_a_reservoir_does_not_know_the_stage() -> None:
    assert chance("reservoir", "a", 3, 1) == chance("reservoir", "a", 3, 2)
    assert len({chance("reservoir", "a", 3, 1), chance("reservoir", "a", 4, 1), chance("random", "a", 3, 1)}) == 3


def test_a_budget_for_each_class_or_for_all() -> None:
    seen = ("dog", "bird", "whale")
    assert quotas(5, 0, seen) == {"dog": 5, "bird": 5, "whale": 5}
    assert quotas(5, 11, seen) == {"dog": 4, "bird": 4, "whale": 3}
    assert quotas(5, 2, seen) == {"dog": 1, "bird": 1, "whale": 0}
