import json
from pathlib import Path

import pytest

from cavs_dist.errors import InputError
from cavs_dist.memory.memory import Exemplar, ExemplarMemory
from cavs_dist.memory.select import Candidate

PATH = Path("memory.json")


def memory() -> ExemplarMemory:
    dogs = (Candidate("b", ("dog",), 0.1), Candidate("a", ("dog", "bird"), 1 / 3))
    birds = (Candidate("c", ("bird",), -2.0), Candidate("a", ("dog", "bird")))
    first = ExemplarMemory().admit({"dog": dogs}, 0, {"dog": 2})
    return first.admit({"bird": birds, "whale": ()}, 1, {"dog": 2, "bird": 2, "whale": 2})


def test_admitting_adds_classes_and_keeps_the_order_of_the_chosen() -> None:
    assert memory().classes["dog"] == (Exemplar("b", 0.1, 0), Exemplar("a", 1 / 3, 0))
    assert memory().classes["bird"][1] == Exemplar("a", 0.0, 1)
    assert memory().classes["whale"] == ()


def test_lists_shrink_from_their_end() -> None:
    whales = (Candidate("d", ("whale",), 1.0),)
    after = memory().admit({"whale": whales}, 2, {"dog": 1, "bird": 1, "whale": 1})
    assert {name: [clip.key for clip in clips] for name, clips in after.classes.items()} == {
        "dog": ["b"], "bird": ["c"], "whale": ["d"],
    }  # fmt: skip


def test_keys_are_distinct_and_sorted() -> None:
    assert memory().keys() == ["a", "b", "c"]
    assert memory().keys(stage=1) == ["a", "c"]
    assert memory().keys(stage=2) == []


def test_json_keeps_every_bit() -> None:
    there = memory()
    back = ExemplarMemory.from_json(json.loads(json.dumps(there.to_json())), PATH)
    assert back == there and back.digest() == there.digest()


def test_the_digest_tells_memories_apart() -> None:
    one = ExemplarMemory({"dog": (Exemplar("a", 0.5, 0), Exemplar("b", 0.6, 0))})
    others = [
        {"dog": (Exemplar("b", 0.6, 0), Exemplar("a", 0.5, 0))},
        {"dog": (Exemplar("a", 0.5, 1), Exemplar("b", 0.6, 0))},
        {"dog": (Exemplar("a", 0.5 + 1e-16, 0), Exemplar("b", 0.6 + 1e-15, 0))},
        {"cat": one.classes["dog"]},
        {},
    ]
    digests = {ExemplarMemory(classes).digest() for classes in others} | {one.digest()}
    assert len(digests) == len(others) + 1


def test_the_digest_ignores_the_order_of_the_classes() -> None:
    there = memory()
    assert ExemplarMemory(dict(reversed(there.classes.items()))).digest() == there.digest()


@pytest.mark.parametrize(
    "record",
    [[], {}, {"classes": {"dog": [["a", 0.1]]}}, {"classes": {"dog": [["a", "much", 0]]}}, {"classes": []}],
)
def test_something_else_is_refused(record: object) -> None:
    with pytest.raises(InputError, match=r"memory\.json is no exemplar memory"):
        ExemplarMemory.from_json(record, PATH)
