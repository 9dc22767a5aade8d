from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from cavs_dist.data.order import Slot
from cavs_dist.data.pairing import Pairing, Partners
from cavs_dist.errors import InputError

CLASSES = ["dog"] * 6 + ["cat"] * 3 + ["cow"]
# The old class cat sounds in clips of the stage too.
# Exemplar 1 was chosen for bird and for hen: it is a source of the first.
EXEMPLARS: Mapping[str, tuple[int, ...]] = {"bird": (0, 1), "cat": (2,), "hen": (3, 4, 5, 1), "pig": ()}
WEIGHTS = {"bird": 2.0, "cat": 5.0, "hen": 3.0}
SHARE, BATCH, UPDATES = 0.4, 25, 400

Place = tuple[bool, int]


def expected(own: str, pairing: Pairing) -> dict[Place, float]:
    """How likely each clip is, one by one: a slot of the order that is not of the own class."""
    rates = {(False, clip): (1 - SHARE) / len(CLASSES) for clip in range(len(CLASSES))}
    names = {(False, clip): name for clip, name in enumerate(CLASSES)}
    names |= {(True, clip): name for clip, name in enumerate(("bird", "bird", "cat", "hen", "hen", "hen"))}
    for name, weight in WEIGHTS.items():
        for clip in EXEMPLARS[name]:
            rates[True, clip] = rates.get((True, clip), 0.0) + SHARE * weight / 10 / len(EXEMPLARS[name])
    left = {place: rate for place, rate in rates.items() if pairing == "any" or names[place] != own}
    return {place: rate / sum(left.values()) for place, rate in left.items()}


def partners_of(slot: Slot, pairing: Pairing, share: float = SHARE) -> list[Slot]:
    partners = Partners(pairing, CLASSES, EXEMPLARS)
    given = [partners.give([slot] * BATCH, share, WEIGHTS, BATCH, 1, 2, update) for update in range(UPDATES)]
    return [one.partner for update in given for one in update if one.partner is not None]


@pytest.mark.parametrize("pairing", ["different_class", "any"])
@pytest.mark.parametrize(
    ("slot", "own"),
    [
        (Slot(0, 3, 0), "dog"),
        (Slot(7, 3, 0), "cat"),
        (Slot(2, 3, 9, from_memory=True), "cat"),
        (Slot(4, 3, 9, from_memory=True), "hen"),
        (Slot(1, 3, 9, from_memory=True), "bird"),
    ],
)
def test_partners_are_drawn_as_often_as_the_order_has_clips(slot: Slot, own: str, pairing: Pairing) -> None:
    drawn = Counter((partner.from_memory, partner.clip) for partner in partners_of(slot, pairing))
    rates, total = expected(own, pairing), BATCH * UPDATES
    assert set(drawn) == set(rates) and drawn.total() == total
    distance = sum((drawn[place] - rate * total) ** 2 / (rate * total) for place, rate in rates.items())
    freedom = len(rates) - 1
    # Chi-square's mean and five of its standard deviations.
    assert distance < freedom + 5 * (2 * freedom) ** 0.5


def test_exemplars_come_at_the_share_of_memory_but_for_the_own_class() -> None:
    total = BATCH * UPDATES
    for own, slot in (("dog", Slot(0, 0, 0)), ("cat", Slot(6, 0, 0)), ("cat", Slot(2, 0, 0, from_memory=True))):
        memory = SHARE * (1 - WEIGHTS.get(own, 0) / 10)
        stage = (1 - SHARE) * (1 - CLASSES.count(own) / 10)
        rate = memory / (memory + stage)
        found = sum(partner.from_memory for partner in partners_of(slot, "different_class")) / total
        assert abs(found - rate) < 5 * (rate * (1 - rate) / total) ** 0.5, own


def test_where_memory_alone_has_another_class_it_is_drawn_though_its_share_is_0() -> None:
    partners = Partners("different_class", ["dog", "dog"], {"dog": (0,), "hen": (1, 2), "cow": (3,)})
    weights = {"dog": 1.0, "hen": 2.0, "cow": 1.0}
    given = [slot for k in range(50) for slot in partners.give([Slot(0, 0, 0)] * 4, 0.0, weights, 4, 1, 2, k)]
    drawn = [slot.partner for slot in given if slot.partner is not None]
    assert all(partner.from_memory for partner in drawn) and {partner.clip for partner in drawn} == {1, 2, 3}


def test_without_a_share_the_stage_alone_is_drawn() -> None:
    assert not any(partner.from_memory for partner in partners_of(Slot(0, 0, 0), "different_class", share=0.0))
    partners = Partners("different_class", CLASSES, {})
    drawn = {slot.partner for k in range(50) for slot in partners.give([Slot(9, 0, 0)] * 4, 0.5, {}, 4, 1, 2, k)}
    assert {partner.clip for partner in drawn if partner is not None} == set(range(9))


def test_slots_keep_all_but_their_partner_which_is_of_their_epoch() -> None:
    slots = [Slot(0, 3, 0), Slot(8, 3, 1_000_000), Slot(1, 3, 7, from_memory=True)]
    given = Partners("different_class", CLASSES, EXEMPLARS).give(slots, SHARE, WEIGHTS, BATCH, 1, 2, 3)
    assert [replace(slot, partner=None) for slot in given] == slots
    assert all(slot.partner is not None and slot.partner.epoch == 3 for slot in given)
    assert all(slot.partner is not None and slot.partner.partner is None for slot in given)


def test_no_two_partners_of_a_stage_are_augmented_alike_nor_like_a_slot_of_the_order() -> None:
    occurrences = [partner.occurrence for partner in partners_of(Slot(0, 0, 0), "any")]
    assert len(set(occurrences)) == BATCH * UPDATES and max(occurrences) < 0


def test_seed_stage_and_update_decide_and_nothing_before() -> None:
    partners, slots = Partners("any", CLASSES, EXEMPLARS), [Slot(clip, 0, 0) for clip in range(10)]

    def drawn(*names: int) -> list[Place]:
        given = partners.give(slots, SHARE, WEIGHTS, BATCH, *names)
        return [(slot.partner.from_memory, slot.partner.clip) for slot in given if slot.partner is not None]

    first = drawn(1, 2, 3)
    others = [drawn(1, 2, 4), drawn(1, 3, 3), drawn(2, 2, 3)]
    assert first == drawn(1, 2, 3) and first not in others and np.unique(np.array(others), axis=0).shape[0] == 3


@pytest.mark.parametrize("exemplars", [{}, {"dog": (0,)}, {"cat": ()}])
def test_one_class_alone_cannot_be_mixed_with_another(exemplars: dict[str, tuple[int, ...]]) -> None:
    with pytest.raises(InputError, match=r"all clips are of class dog.*data\.mix\.pairing=any"):
        Partners("different_class", ["dog", "dog"], exemplars)
    [slot] = Partners("any", ["dog"], exemplars).give([Slot(0, 0, 0)], 0.0, {}, 1, 1, 2, 3)
    assert slot.partner == Slot(0, 0, -4)
