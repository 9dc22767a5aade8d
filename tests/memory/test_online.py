import json
import random

import pytest
import torch

from cavs_dist.curriculum import Stage
from cavs_dist.memory.online import OnlineCounts
from cavs_dist.outputs.segmentation import Batch

STAGE = Stage(1, new=("bird", "train"), seen=("dog", "drum", "bird", "train"))
BETA, EVERY, LAG, UPDATES = 0.9, 4, 6, 31
MEMORY = {"drum": 3}  # dog has no exemplars


def clip(old: int, new: int, from_memory: bool = False) -> tuple[Batch, torch.Tensor]:
    """A clip whose only pixel is `new`, and `old` to the old model."""
    frame, nothing = torch.ones(1, 1, dtype=torch.bool), torch.zeros(1)
    labels = torch.full((1, 1, 1), new)
    batch = Batch(("",), torch.tensor([from_memory]), nothing, nothing, labels, frame, frame, nothing, nothing)
    return batch, torch.full((1, 1, 1), old)


@pytest.fixture
def updates() -> list[list[tuple[int, int, bool]]]:
    """What collides in each update: (old label, new label, from memory)."""
    rng = random.Random(0)
    return [
        [(rng.randrange(3), rng.choice([3, 4]), rng.random() < 0.2) for _ in range(rng.randrange(4))]
        for _ in range(UPDATES)
    ]


def make() -> OnlineCounts:
    return OnlineCounts(STAGE, MEMORY, 0.7, BETA, EVERY, LAG)


def learn(counts: OnlineCounts, updates: list[list[tuple[int, int, bool]]], first: int, last: int) -> None:
    for update in range(first, last):
        for collision in updates[update]:
            batch, old = clip(*collision)
            counts.add(old, batch, update)
        counts.close(update)


def direct(updates: list[list[tuple[int, int, bool]]], update: int) -> dict[str, float]:
    """N_a by its formula, of the updates whose sum is in force at `update`."""
    known = max(0, (update - LAG) // EVERY * EVERY)
    counts = {"dog": 0.0, "drum": 0.0}
    for collisions in updates[:known]:
        for label, name in enumerate(counts, start=1):
            counts[name] = BETA * counts[name] + sum(old == label and not kept for old, _, kept in collisions)
    return counts


def test_counts_decay_and_come_into_force_after_their_lag(updates: list[list[tuple[int, int, bool]]]) -> None:
    counts = make()
    for update in range(UPDATES):
        learn(counts, updates, update, update + 1)
        assert counts.in_force(update) == direct(updates, update)
        assert counts.weights_in_force(update) == {"drum": 3 + direct(updates, update)["drum"]}
    assert sum(counts.in_force(UPDATES).values()) > 1


def test_what_is_drawn_ahead_is_what_is_told_later(updates: list[list[tuple[int, int, bool]]]) -> None:
    counts = make()
    learn(counts, updates, 0, 20)
    ahead = [counts.in_force(update) for update in range(20, 20 + LAG)]
    assert [counts.in_force(update) for update in range(20, 20 + LAG)] == ahead
    assert counts.in_force(20) == direct(updates, 20)


def test_pairs_are_named_and_not_decayed(updates: list[list[tuple[int, int, bool]]]) -> None:
    counts = make()
    learn(counts, updates, 0, UPDATES)
    known = [one for update in updates[: (UPDATES - LAG) // EVERY * EVERY] for one in update]
    expected = {
        (old, new): sum(one == (a, b, False) for one in known)
        for a, old in enumerate(STAGE.old, start=1)
        for b, new in enumerate(STAGE.new, start=3)
    }
    assert counts.pairs_in_force(UPDATES) == {pair: count for pair, count in expected.items() if count}


@pytest.mark.parametrize("done", [0, 1, 8, 13, 17])
def test_a_state_goes_on_bit_for_bit(updates: list[list[tuple[int, int, bool]]], done: int) -> None:
    whole, before, after = make(), make(), make()
    learn(before, updates, 0, done)
    after.load_state(json.loads(json.dumps(before.state(done))))
    learn(whole, updates, 0, UPDATES)
    for update in range(done, UPDATES):
        learn(before, updates, update, update + 1)
        learn(after, updates, update, update + 1)
        assert after.in_force(update) == before.in_force(update) == direct(updates, update)
        assert after.weights_in_force(update) == before.weights_in_force(update)
        assert after.pairs_in_force(update) == before.pairs_in_force(update)
    assert after.in_force(UPDATES) == whole.in_force(UPDATES)
    assert len(after._known) <= 2 + LAG // EVERY  # what no draw can use is forgotten
