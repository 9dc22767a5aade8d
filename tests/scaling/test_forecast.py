from dataclasses import replace

import pytest

from cavs_dist.config import load_run
from cavs_dist.scaling.forecast import Load, efficiency, forecast, slot_seconds, where_it_stops
from cavs_dist.scaling.rates import Rates
from cavs_dist.scaling.size import Size
from cavs_dist.scaling.work import StageWork, Work

SIZE = Size({"all": 1_000_000}, 1_000_000, 4_000_000, 0, 0, flop=10**12, norms=())
STAGE = StageWork(0, 2, 3, clips=1000, updates=100, twins=0, exemplars=4, rehearsed=2.0, places=2)
WORK = Work((STAGE,), clip_bytes=1000.0, pixels=1e5, clips=1, key=8)
FREE = Rates(
    node=4, slot_seconds=0.1, inside=1e9, between=1e8, latency=1e-12, storage=1e15, decode=1e9, draw=0.0, flops16=1e12
)


def load(tiny: str, *overrides: str) -> Load:
    return Load(load_run(tiny, ["optim.batch=64", "engine.zero=0", *overrides]), SIZE, WORK, half=True)


def test_computation_is_cut_and_gradients_are_not(tiny: str) -> None:
    assert forecast(load(tiny), FREE, 1, 64).seconds == pytest.approx(6.4)
    two = forecast(load(tiny), FREE, 2, 64)
    assert two.parts["compute"] == pytest.approx(3.2)
    assert two.parts["gradients"] == pytest.approx(4e6 / 1e9)
    assert forecast(load(tiny), FREE, 8, 64).parts["gradients"] == pytest.approx(2 * 7 / 8 * 4e6 / 1e8)
    assert two.throughput == pytest.approx(64 / two.seconds) and two.bound == "compute" and two.loss == "gradients"


def test_data_counts_where_it_is_slower_than_the_device(tiny: str) -> None:
    slow = Rates(slot_seconds=0.1, decode=5.0, storage=1e15, draw=0.0)
    found = forecast(load(tiny, "data.workers=1"), slow, 1, 64)
    assert found.seconds == pytest.approx(64 / 5.0) and found.bound == found.loss == "decode"
    assert forecast(load(tiny, "data.workers=4"), slow, 1, 64).bound == "compute"
    read = forecast(load(tiny), Rates(slot_seconds=0.1, decode=1e9, storage=1000.0), 2, 64)
    assert read.seconds == pytest.approx(64.0) and read.bound == "read"


def test_a_slot_takes_what_its_flop_take_unless_it_was_timed(tiny: str) -> None:
    assert slot_seconds(load(tiny), FREE) == 0.1
    assert slot_seconds(load(tiny), Rates(flops16=1e12, utilisation=0.5)) == pytest.approx(2.0)


def test_exemplars_are_sent_only_under_exchange(tiny: str) -> None:
    assert forecast(load(tiny), FREE, 2, 64).parts["exemplars"] == 0
    sent = forecast(load(tiny, "memory.payload=exchange"), FREE, 2, 64).parts["exemplars"]
    assert sent == pytest.approx(2 / 2 * 1000 / 2 / 1e9)


def test_strong_scaling_stops_at_the_batch_or_where_half_is_lost(tiny: str) -> None:
    slow = replace(FREE, between=2.5e7)
    last, beyond = where_it_stops(load(tiny), slow)
    assert last.ranks == 16 and beyond is not None and beyond.ranks == 32 and beyond.loss == "gradients"
    first = forecast(load(tiny), slow, 1, 64)
    assert efficiency(first, last) >= 0.5 > efficiency(first, beyond)
    endless = Rates(slot_seconds=1e6, latency=1e-12, decode=1e9)
    last, beyond = where_it_stops(load(tiny), endless)
    assert (last.ranks, beyond) == (64, None)


def test_weak_scaling_keeps_a_ranks_slots(tiny: str) -> None:
    last, beyond = where_it_stops(load(tiny), Rates(slot_seconds=0.1, storage=1e6, decode=1e9), weak_from=1)
    assert last.batch == 64 * last.ranks and beyond is not None and beyond.loss == "read"
