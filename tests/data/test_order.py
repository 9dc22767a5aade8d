import pytest
from hypothesis import given
from hypothesis import strategies as st

from cavs_dist.data.order import (
    Slot,
    epoch_order,
    lane_positions,
    micro_batches,
    refuse_uneven,
    share_of_rank,
    updates_per_epoch,
)
from cavs_dist.errors import InputError

SIZES = st.lists(st.integers(0, 12), min_size=1, max_size=6)


@given(SIZES, st.integers(1, 20), st.integers(0, 3))
def test_an_epoch_has_every_clip_once(sizes: list[int], window: int, seed: int) -> None:
    order = epoch_order(sizes, window, seed, 0, 0)
    assert sorted(order) == list(range(sum(sizes)))
    assert order == epoch_order(sizes, window, seed, 0, 0)


def test_clips_stay_in_their_window_of_permuted_shards() -> None:
    order = epoch_order([10] * 30, 10, 0, 0, 0)
    shards = [[clip // 10 for clip in order[start : start + 10]] for start in range(0, 300, 10)]
    assert all(len(set(window)) == 1 for window in shards)
    assert [window[0] for window in shards] != list(range(30))
    assert not any(order[start : start + 10] == sorted(order[start : start + 10]) for start in range(0, 300, 10))
    assert [clip // 10 for clip in epoch_order([10] * 3, 30, 0, 0, 0)] != sorted([0, 1, 2] * 10)


def test_names_decide() -> None:
    orders = {tuple(epoch_order([50], 50, *names)) for names in ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1))}
    assert len(orders) == 4


def epoch_of(clips: int, slots: int, tail: str) -> list[list[tuple[int, int]]]:
    updates = updates_per_epoch(clips, slots, tail)  # type: ignore[arg-type]
    return [lane_positions(clips, slots, tail, update) for update in range(updates)]  # type: ignore[arg-type]


def test_lanes_are_contiguous() -> None:
    assert epoch_of(7, 3, "drop") == [[(0, 0), (2, 0), (4, 0)], [(1, 0), (3, 0), (5, 0)]]
    assert epoch_of(7, 3, "wrap") == [
        [(0, 0), (3, 0), (6, 0)],
        [(1, 0), (4, 0), (0, 1)],
        [(2, 0), (5, 0), (1, 1)],
    ]


@given(st.integers(1, 60), st.integers(1, 20))
def test_drop_leaves_out_the_tail_and_wrap_repeats_the_start(clips: int, slots: int) -> None:
    dropped = sorted(place for update in epoch_of(clips, slots, "drop") for place in update)
    wrapped = sorted(place for update in epoch_of(clips, slots, "wrap") for place in update)
    if clips >= slots:
        assert dropped == [(position, 0) for position in range(clips - clips % slots)]
    assert len(set(wrapped)) == len(wrapped) == -(-clips // slots) * slots
    assert {position for position, turn in wrapped if turn == 0} == set(range(clips))
    assert len(wrapped) - clips < slots


@pytest.mark.parametrize("tail", ["drop", "wrap"])
def test_a_stage_smaller_than_an_update_repeats_until_one_is_full(tail: str) -> None:
    assert epoch_of(3, 8, tail) == [[(0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (2, 1), (0, 2), (1, 2)]]


@pytest.mark.parametrize("world", [1, 2, 4])
def test_ranks_share_the_slots(world: int) -> None:
    slots = [Slot(clip, 0, 0) for clip in range(8)]
    shares = [share_of_rank(slots, rank, world) for rank in range(world)]
    assert [share[i] for i in range(8 // world) for share in shares] == slots


def mixed(count: int) -> list[Slot]:
    return [Slot(clip, 0, 0, partner=Slot(100 + clip, 0, -1, from_memory=True)) for clip in range(count)]


def test_a_slot_is_its_clip_and_what_that_is_mixed_with() -> None:
    [slot] = mixed(1)
    assert slot.clips == (slot, slot.partner) and Slot(5, 0, 0).clips == (Slot(5, 0, 0),)


@pytest.mark.parametrize("world", [1, 2, 4])
@pytest.mark.parametrize("micro", [4, 8])
def test_a_rank_reads_each_clip_followed_by_its_partner(world: int, micro: int) -> None:
    slots = mixed(8)
    for rank in range(world):
        share = share_of_rank(slots, rank, world)
        assert share[::2] == slots[rank::world] and share[1::2] == [slot.partner for slot in slots[rank::world]]
        parts = micro_batches(slots, rank, world, micro)
        assert [len(part) for part in parts] == [2 * micro // world] * (8 // micro)
        assert [clip for part in parts for clip in part] == share


@pytest.mark.parametrize(
    ("message", "batch", "memory", "world", "micro"),
    [
        ("leaves no slot for the stage", 4, 4, 1, 1),
        ("3 ranks do not divide the 16 slots of an update: set optim.batch to 15 or 18", 16, 0, 3, 1),
        ("4 ranks do not divide the 6 memory slots", 24, 6, 4, 1),
        ("8 ranks do not divide the 4 slots of an update: set optim.batch to 8", 4, 0, 8, 1),
        ("3 micro-batches do not divide the 8 clips a rank takes", 16, 0, 2, 3),
    ],
)
def test_what_does_not_divide_is_refused(message: str, batch: int, memory: int, world: int, micro: int) -> None:
    with pytest.raises(InputError, match=message):
        refuse_uneven(batch, memory, world, micro)


def test_what_divides_is_not() -> None:
    refuse_uneven(16, 4, 4, 2)
    refuse_uneven(1, 0, 1)
