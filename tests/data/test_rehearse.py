from collections import Counter
from dataclasses import replace

import pytest

from cavs_dist.data.order import share_of_rank
from cavs_dist.data.rehearse import Plan, Rehearsal, draw

EXEMPLARS = {"dog": (0, 1, 2), "bird": (3,), "whale": (), "train": (1, 4)}
PLAN = Plan(
    seed=1, stage=2, shard_sizes=(8, 0, 7), batch=8, window=4, tail="drop", memory_slots=2,
    exemplars=EXEMPLARS, extra={"dog": 5, "whale": 9},
)  # fmt: skip
CONCAT = replace(PLAN, mode="concat", memory_slots=0, batch=5)


def epoch(plan: Plan, number: int) -> list:
    rehearsal, first = Rehearsal(plan), number * plan.epoch_length
    return [
        slot for update in range(first, first + plan.epoch_length) for part in rehearsal.update(update) for slot in part
    ]


def test_weights_are_exemplars_and_collisions_of_classes_that_have_exemplars() -> None:
    assert PLAN.weights(PLAN.extra) == {"dog": 8, "bird": 1, "train": 2}
    assert PLAN.weights({"train": 0.5}) == {"dog": 3, "bird": 1, "train": 2.5}
    assert (PLAN.epoch_length, CONCAT.epoch_length) == (15 // 6, (15 + 11) // 5)


def test_ratio_draws_follow_the_weights_then_are_uniform() -> None:
    drawn = Counter(slot.clip for update in range(4000) for slot in draw(PLAN, 0, update, PLAN.extra))
    total = 8000
    # Clip 1 stands under dog and under train.
    shares = {0: 8 / 33, 1: 8 / 33 + 1 / 11, 2: 8 / 33, 3: 1 / 11, 4: 1 / 11}
    for clip, share in shares.items():
        # Five standard deviations of a binomial share.
        assert abs(drawn[clip] / total - share) < 5 * (share * (1 - share) / total) ** 0.5, clip


def test_draws_depend_on_seed_stage_and_update_alone() -> None:
    one = [draw(PLAN, 0, update, PLAN.extra) for update in range(30)]
    assert one == [draw(replace(PLAN, shard_sizes=(99,), window=1), 0, update, PLAN.extra) for update in range(30)]
    for other in (replace(PLAN, seed=2), replace(PLAN, stage=3)):
        assert one != [draw(other, 0, update, PLAN.extra) for update in range(30)]
    assert draw(replace(PLAN, exemplars={"whale": ()}), 0, 0, {}) == []
    occurrences = [slot.occurrence for update in one for slot in update]
    assert len(set(occurrences)) == len(occurrences)


def test_counts_that_come_while_training_weigh_the_draws_of_their_update() -> None:
    rehearsal = Rehearsal(PLAN, lambda update: {"train": 1e9} if update < 5 else {"bird": 1e9})
    drawn = [{slot.clip for slot in rehearsal.update(update)[1]} for update in range(10)]
    assert all(clips <= {1, 4} for clips in drawn[:5]) and all(clips == {3} for clips in drawn[5:])


def test_ratio_streams_the_stage_beside_its_draws() -> None:
    slots = epoch(PLAN, 3)
    stream = [slot for slot in slots if not slot.from_memory]
    assert len(slots) == 2 * 8 and len(stream) == len({slot.clip for slot in stream}) == 12
    assert {slot.epoch for slot in slots} == {3}


def test_concat_strews_every_exemplar_once_and_the_extra_draws_into_the_epoch() -> None:
    slots = epoch(replace(CONCAT, tail="wrap", batch=1), 0)
    assert sorted(slot.clip for slot in slots if not slot.from_memory) == list(range(15))
    memory = Counter(slot.clip for slot in slots if slot.from_memory)
    assert memory.total() == 6 + 5
    once = Counter({0: 1, 1: 2, 2: 1, 3: 1, 4: 1})
    assert (memory - once).total() == 5 and set(memory - once) <= {0, 1, 2}
    places = [place for place, slot in enumerate(slots) if slot.from_memory]
    assert places != list(range(15, 26)) and len({(slot.clip, slot.occurrence) for slot in slots}) > 20
    assert epoch(CONCAT, 0) != epoch(CONCAT, 1)


@pytest.mark.parametrize("plan", [PLAN, CONCAT, replace(CONCAT, tail="wrap")])
def test_updates_are_the_same_in_any_order_of_asking(plan: Plan) -> None:
    one = Rehearsal(plan)
    forward = [one.update(number) for number in range(12)]
    assert [Rehearsal(plan).update(number) for number in reversed(range(12))] == forward[::-1]


def test_ranks_take_disjoint_parts_with_equally_much_memory() -> None:
    stream, memory = Rehearsal(PLAN).update(5)
    shares = [share_of_rank([*stream, *memory], rank, 2) for rank in range(2)]
    assert [sum(slot.from_memory for slot in share) for share in shares] == [1, 1]
    assert sorted(map(str, shares[0] + shares[1])) == sorted(map(str, stream + memory))


def test_a_clip_that_comes_again_is_augmented_anew() -> None:
    stream, _ = Rehearsal(replace(PLAN, shard_sizes=(2,), memory_slots=0)).update(0)
    assert Counter(slot.clip for slot in stream) == {0: 4, 1: 4}
    assert len({(slot.clip, slot.occurrence) for slot in stream}) == 8
