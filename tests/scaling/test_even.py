import pytest

from cavs_dist.config import load_run
from cavs_dist.data.order import refuse_uneven
from cavs_dist.errors import InputError
from cavs_dist.scaling.even import nearest_batch, why_uneven
from cavs_dist.scaling.made_up import made_up_setting
from cavs_dist.scaling.rates import Rates
from cavs_dist.setting import Setting


def setting(tiny: str, *overrides: str) -> Setting:
    return made_up_setting(load_run(tiny, ["data.path=none", *overrides]), (50, 50), Rates())


@pytest.mark.parametrize(("ranks", "batch"), [(1, 12), (2, 12), (4, 12), (8, 16), (3, 9), (16, 32), (512, 1024)])
def test_the_nearest_batch_leaves_stream_and_memory_slots_that_ranks_divide(tiny: str, ranks: int, batch: int) -> None:
    third = setting(tiny, "optim.batch=12", "rehearse.share=0.3333")
    found = nearest_batch(third, 12, ranks)
    refuse_uneven(found, round(0.3333 * found), ranks)
    nearer = [size for size in range(1, 3 * batch) if abs(size - 12) < abs(found - 12)]
    assert all(why_uneven(third, size, ranks) for size in nearer)
    assert (why_uneven(third, 12, ranks) == "") == (found == 12)


def test_micro_batches_are_cut_for_ranks_too(tiny: str) -> None:
    halves = setting(tiny, "optim.batch=8", "engine.micro_batch=4", "memory.select=none")
    assert why_uneven(halves, 8, 4) == ""
    assert "2 micro-batches do not divide the 1 clips a rank takes" in why_uneven(halves, 8, 8)
    assert nearest_batch(halves, 8, 8) == 16


def test_a_share_of_many_parts_may_have_no_batch(tiny: str) -> None:
    odd = setting(tiny, "optim.batch=100", "rehearse.share=0.00991")
    with pytest.raises(InputError, match=r"no batch near 100 can be cut for 1000000 ranks .* such as 0\.25"):
        nearest_batch(odd, 100, 1_000_000)


def test_concat_reserves_no_slots(tiny: str) -> None:
    assert why_uneven(setting(tiny, "rehearse.mode=concat", "optim.batch=6"), 6, 6) == ""
    assert "memory slots" in why_uneven(setting(tiny, "optim.batch=6", "rehearse.share=0.5"), 6, 6)
