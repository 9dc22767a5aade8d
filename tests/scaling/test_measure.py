import pytest

from cavs_dist.config import load_run
from cavs_dist.methods import METHODS
from cavs_dist.scaling.measure import make_update, measure_rates, time_reductions, time_updates
from cavs_dist.scaling.rates import read_rates
from cavs_dist.scaling.work import with_batch
from cavs_dist.setting import open_setting

assert make_update  # what it makes is what `time_updates` times


@pytest.mark.slow
def test_a_machine_is_measured(tiny: str) -> None:
    found = measure_rates(open_setting(load_run(tiny)))
    assert set(found) == {"slot_seconds", "update_seconds", "decode", "latency", "inside", "between"}
    rates = read_rates(None, [], found).rates
    assert 1e-5 < rates.slot_seconds < 10 and 0.1 < rates.decode < 1e5
    assert 1e-6 < rates.latency < 1 and 1e6 < rates.inside < 1e12


@pytest.mark.slow
@pytest.mark.parametrize("method", sorted(METHODS["segmentation"]))
def test_every_method_of_segmentation_is_timed(tiny: str, method: str) -> None:
    setting = with_batch(open_setting(load_run(tiny, [f"method.name={method}", "rehearse.weight=uniform"])), 2, 0)
    assert time_updates(setting)["compute"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("method", sorted(METHODS["separation"]))
def test_every_method_of_separation_is_timed(tiny_separation: str, method: str) -> None:
    setting = with_batch(open_setting(load_run(tiny_separation, [f"method.name={method}"])), 2, 0)
    assert time_updates(setting)["clip"] > 0


def test_larger_messages_take_longer() -> None:
    found = time_reductions()
    assert found["inside"] == found["between"] > 1e6 and found["latency"] < 1
