from collections.abc import Iterator

import pytest
import torch
from torch import nn

from cavs_dist.engine import Engine, EngineConfig, OptimConfig, start_world
from cavs_dist.scaling.footprint import FLOAT, footprint, share_of, total
from cavs_dist.scaling.size import Size

ENGINE = EngineConfig(zero=1, threads=1)


@pytest.fixture
def engine() -> Iterator[Engine]:
    start_world(ENGINE)
    engine = Engine(nn.Sequential(nn.Linear(33, 17), nn.Linear(17, 5)), ENGINE, OptimConfig(batch=2))
    yield engine
    engine.close()


def test_a_rank_keeps_what_deepspeed_keeps(engine: Engine) -> None:
    trained = sum(parameter.numel() for parameter in engine.model.parameters())
    engine.backward(engine(torch.ones(2, 33)).square().sum())
    engine.step()
    optimizer = engine._engine.optimizer
    masters = optimizer.single_partition_of_fp32_groups
    moments = [value for state in optimizer.optimizer.state.values() for value in state.values() if value.dim()]
    found = footprint(Size({"all": trained}, trained, FLOAT * trained, 0, 0, 0, ()), 1, 1, 0)
    # DeepSpeed fills each parameter up to 16 bytes, at most 3 numbers.
    assert found["master"] == pytest.approx(sum(part.nbytes for part in masters), abs=12 * 4)
    assert found["moments"] == pytest.approx(sum(value.nbytes for value in moments), abs=2 * 12 * 4)


def test_shares_are_equal_and_hold_everything() -> None:
    for trained in (1, 7, 16, 1001):
        for ranks in (1, 2, 3, 8):
            assert trained <= ranks * share_of(trained, ranks) < trained + 2 * ranks


def test_what_is_cut_shrinks_with_the_ranks() -> None:
    size = Size({"trained": 10_000_000, "frozen": 5_000_000}, 10_000_000, 60_000_000, 60_000_000, 1000, 0, ())
    sums = {zero: [total(footprint(size, zero, ranks, 4)) for ranks in (1, 100)] for zero in (0, 1, 2, 3)}
    assert sums[0] == [60e6 + 40e6 + 40e6 + 80e6 + 60e6 + 4000] * 2
    # The moments and the gathered master; at 2 the gradients; at 3 the weights: but a hundredth of each.
    assert sums[1][0] - sums[1][1] == pytest.approx(0.99 * (80e6 + 40e6 + 40e6))
    assert sums[1][1] - sums[2][1] == pytest.approx(40e6)
    assert sums[2][1] - sums[3][1] == pytest.approx(0.99 * 40e6)
