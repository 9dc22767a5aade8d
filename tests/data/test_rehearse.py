from collections import Counter
from dataclasses import replace

import pytest

from cavs_dist.data.order import Slot, share_of_rank
from cavs_dist.data.rehearse import Plan, Rehearsal, draw, rehearsal_weights

EXEMPLARS = {"dog": (0, 1, 2), "bird": (3,), "whale": (), "train": (1, 4)}
PLAN = Plan(
    seed=1, stage=2, shard_sizes=(8, 0, 7), batch=8, window=4, tail="drop", memory_slots=2,
    exemplars=EXEMPLARS, extra={"dog": 5, "whale": 9},
)  # fmt: skip
CONCAT = replace(PLAN, mode="concat", memory_slots=0, batch=5)
# The stage's own clips are of two classes, and of one that memory has too.
CLASSES = ("cat",) * 7 + ("cow",) * 5 + ("train",) * 3
MIXED = replace(PLAN, pairing="different_class", classes=CLASSES)


def epoch(plan: Plan, number: int) -> list:
    rehearsal, first = Rehearsal(plan), number * plan.epoch_length
    return [
        slot for update in range(first, first + plan.epoch_length) for part in rehearsal.update(update) for slot in part
    ]


def test_weights_are_exemplars_and_collisions_of_classes_that_have_exemplars() -> None:
    assert PLAN.weights == {"dog": 8, "bird": 1, "train": 2}
    assert rehearsal_weights({"dog": (0, 1), "bird": (2,), "whale": ()}, {"dog": 5}, repeat=3) == {"dog": 11, "bird": 3}
    assert (PLAN.epoch_length, CONCAT.epoch_length) == (15 // 6, (15 + 11) // 5)


def test_ratio_draws_follow_the_weights_then_are_uniform() -> None:
    drawn = Counter(slot.clip for update in range(4000) for slot in draw(PLAN, 0, update, PLAN.weights))
    total = 8000
    # Clip 1 stands under dog and under train.
    shares = {0: 8 / 33, 1: 8 / 33 + 1 / 11, 2: 8 / 33, 3: 1 / 11, 4: 1 / 11}
    for clip, share in shares.items():
        # Five standard deviations of a binomial share.
        assert abs(drawn[clip] / total - share) < 5 * (share * (1 - share) / total) ** 0.5, clip


def test_draws_depend_on_seed_stage_and_update_alone() -> None:
    one = [draw(PLAN, 0, update, PLAN.weights) for update in range(30)]
    assert one == [draw(replace(PLAN, shard_sizes=(99,), window=1), 0, update, PLAN.weights) for update in range(30)]
    for other in (replace(PLAN, seed=2), replace(PLAN, stage=3)):
        assert one != [draw(other, 0, update, PLAN.weights) for update in range(30)]
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


def test_repeat_gives_an_epoch_each_exemplar_so_often_each_time_augmented_anew() -> None:
    plan = replace(CONCAT, tail="wrap", batch=1, repeat=20, extra={"bird": 2})
    memory = [slot for slot in epoch(plan, 0) if slot.from_memory]
    # Clips 1 (under dog and train) and 3 (bird, which collided twice) come more often.
    assert Counter(slot.clip for slot in memory) == {0: 20, 1: 40, 2: 20, 3: 22, 4: 20}
    assert len({slot.occurrence for slot in memory}) == len(memory) == sum(plan.weights.values())
    assert plan.weights == {"dog": 60, "bird": 22, "train": 40}


def test_the_share_of_memory_is_that_of_the_slots() -> None:
    for plan in (PLAN, *(replace(CONCAT, tail="wrap", batch=1, repeat=repeat) for repeat in (1, 7))):
        slots = epoch(plan, 0)
        assert plan.memory_share == pytest.approx(sum(slot.from_memory for slot in slots) / len(slots))
    paper = replace(CONCAT, extra={}, repeat=20, exemplars={"dog": (0,), "bird": (1,)})
    assert paper.memory_share == pytest.approx(20 * 2 / (15 + 20 * 2))
    assert replace(CONCAT, exemplars={}).memory_share == replace(PLAN, memory_slots=0).memory_share == 0


def name_of(slot: Slot) -> str:
    """The class of a clip; exemplar 1, kept for dog and for train, is a dog."""
    return ("dog", "dog", "dog", "bird", "train")[slot.clip] if slot.from_memory else CLASSES[slot.clip]


@pytest.mark.parametrize("plan", [MIXED, replace(CONCAT, pairing="different_class", classes=CLASSES, repeat=3)])
def test_partners_leave_the_slots_as_they_are_and_are_of_another_class(plan: Plan) -> None:
    plain, rehearsal = Rehearsal(replace(plan, pairing="none")), Rehearsal(plan)
    for number in range(40):
        for alone, mixed in zip(plain.update(number), rehearsal.update(number), strict=True):
            assert [replace(slot, partner=None) for slot in mixed] == alone
            assert all(slot.partner is None for slot in alone)
            assert all(slot.partner is not None and name_of(slot) != name_of(slot.partner) for slot in mixed)


def test_partners_are_the_same_in_any_order_of_asking() -> None:
    forward = [Rehearsal(MIXED).update(number) for number in range(12)]
    one = Rehearsal(MIXED)
    assert [one.update(number) for number in reversed(range(12))] == forward[::-1]


@pytest.mark.parametrize("world", [1, 2])
def test_ranks_read_all_slots_and_all_partners_once(world: int) -> None:
    stream, memory = Rehearsal(MIXED).update(5)
    shares = [share_of_rank([*stream, *memory], rank, world) for rank in range(world)]
    everything = [clip for slot in stream + memory for clip in slot.clips]
    read = [clip for share in shares for clip in share]
    assert sorted(map(str, read)) == sorted(map(str, everything)) and len(everything) == 16
    assert {len(share) for share in shares} == {16 // world}


@pytest.mark.parametrize("mode", ["ratio", "concat"])
def test_partners_are_exemplars_as_often_as_slots_are(mode: str) -> None:
    """Under `any` the rate is the share of memory itself: 2 of 8 slots, or 20 a class beside 15 clips."""
    plan = replace(MIXED, pairing="any", mode=mode, memory_slots=2 if mode == "ratio" else 0, repeat=2)
    rehearsal, share = Rehearsal(plan), {"ratio": 0.25, "concat": (2 * 6 + 5) / (2 * 6 + 5 + 15)}[mode]
    partners = [slot.partner for number in range(1500) for part in rehearsal.update(number) for slot in part]
    rate = sum(partner is not None and partner.from_memory for partner in partners) / len(partners)
    assert len(partners) == 12_000 and abs(rate - share) < 5 * (share * (1 - share) / 12_000) ** 0.5


def test_counts_that_come_while_training_weigh_partners_too() -> None:
    plan = replace(MIXED, pairing="any")
    rehearsal = Rehearsal(plan, lambda update: {"train": 1e9} if update < 20 else {"bird": 1e9})
    for update in range(40):
        partners = [slot.partner for part in rehearsal.update(update) for slot in part]
        drawn = {partner.clip for partner in partners if partner is not None and partner.from_memory}
        assert drawn <= ({1, 4} if update < 20 else {3})
