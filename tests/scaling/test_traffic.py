import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist

from cavs_dist.data.rehearse import RehearseConfig
from cavs_dist.memory.admission import Admission
from cavs_dist.memory.select import Candidate
from cavs_dist.memory.shortlist import Shortlist
from cavs_dist.scaling.footprint import footprint
from cavs_dist.scaling.size import Size
from cavs_dist.scaling.traffic import Traffic, collision_bytes, exchanged_bytes, merge_bytes, update_traffic

CHANNELS, FEATURES = 6, 10


def learn(rank: int, folder: str, zero: int) -> None:
    """Make updates of two micro-batches on one of two ranks, and write what it handed to torch.distributed."""
    sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))
    from scaling_count import install

    counted = install()
    from torch import nn

    from cavs_dist import distributed
    from cavs_dist.engine import Engine, EngineConfig, OptimConfig, start_world
    from cavs_dist.models.norm import SyncNorm

    os.environ.update({"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"})
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    engine_config = EngineConfig(zero=zero, micro_batch=4, threads=1)  # type: ignore[arg-type]
    start_world(engine_config)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(FEATURES, CHANNELS, 1), SyncNorm(CHANNELS))
    engine = Engine(model, engine_config, OptimConfig(batch=8))
    updates = []
    for _ in range(2):
        counted.clear()
        for _ in range(2):
            engine.backward(engine(torch.randn(2, FEATURES, 3, 3)).square().sum())
            engine.step()
        updates.append(dict(counted))
    masters = engine._engine.optimizer.single_partition_of_fp32_groups if zero else []
    found = {"updates": updates, "master": sum(part.nbytes for part in masters)}
    Path(folder, f"{rank}.json").write_text(json.dumps(found))
    distributed.barrier()
    dist.destroy_process_group()


@pytest.mark.world
@pytest.mark.slow
@pytest.mark.parametrize("zero", [0, 1, 2])
def test_an_update_hands_over_what_is_worked_out(tmp_path: Path, zero: int) -> None:
    torch.multiprocessing.spawn(learn, (str(tmp_path), zero), nprocs=2)
    trained = CHANNELS * (FEATURES + 1) + 2 * CHANNELS
    size = Size({"all": trained}, trained, 4 * trained, 0, 0, 0, norms=(CHANNELS,))
    traffic = update_traffic(size, zero, ranks=2, micro_batches=2)  # type: ignore[arg-type]
    for rank in range(2):
        found = json.loads((tmp_path / f"{rank}.json").read_text())
        for update in found["updates"]:
            messages = update["reduced"] - traffic.reduced - traffic.statistics
            assert 0 <= messages <= 8 * traffic.messages
            assert update.get("gathered", 0) == pytest.approx(traffic.gathered, abs=64)
        expected = footprint(size, 1, 2, 0)["master"] if zero else 0
        assert found["master"] == pytest.approx(expected, abs=32)


def test_a_ring_sends_each_part_around() -> None:
    traffic = Traffic(reduced=1000, gathered=400, statistics=8, messages=3)
    assert traffic.sent(1) == 0
    assert traffic.sent(2) == (1000 + 8) + 200
    assert traffic.sent(100) == pytest.approx(0.99 * (2 * 1008 + 400))


@pytest.mark.parametrize(("ranks", "rounds"), [(1, 0), (2, 1), (3, 2), (4, 2), (512, 9), (513, 10)])
def test_a_merge_sends_a_shortlist_a_round(ranks: int, rounds: int) -> None:
    admission = Admission("random", {"bell": 3, "cow": 2})
    admission.offer(Candidate("clip-1", ("bell", "cow"), 0.5))
    message = Shortlist.of(admission, 6).to_bytes()
    assert merge_bytes(2, 3, 6, ranks) == rounds * len(message)


def test_collisions_are_the_tables_that_are_summed() -> None:
    table = np.zeros((5, 5), np.int64)
    assert collision_bytes(5, RehearseConfig()) == (table.nbytes, 0)
    assert collision_bytes(5, RehearseConfig(count="online")) == (table.nbytes, 0)
    online = RehearseConfig(weight="collision", count="online", every=4)
    recent = np.zeros((4, 5), np.int64)
    assert collision_bytes(5, online)[1] == (table.nbytes + recent.nbytes) / 4


def test_an_exemplar_is_sent_unless_it_is_at_home() -> None:
    assert exchanged_bytes(8, 100.0, 1) == 0
    assert exchanged_bytes(8, 100.0, 4) == 2 * 100 * 3 / 4
