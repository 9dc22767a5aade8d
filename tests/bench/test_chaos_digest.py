from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from chaos_digest import differences, newest_checkpoint, products
from torch import nn

from cavs_dist.checkpoint import Checkpoints, Position
from cavs_dist.engine import Engine, EngineConfig, OptimConfig, start_world

ENGINE = EngineConfig(threads=1)


@pytest.fixture
def engine() -> Iterator[Engine]:
    start_world(ENGINE)
    torch.manual_seed(0)
    engine = Engine(nn.Linear(3, 2), ENGINE, OptimConfig(batch=2))
    yield engine
    engine.close()


def learn(engine: Engine, slope: float) -> None:
    engine.backward(engine(torch.full((2, 3), slope)).sum())
    engine.step()


def digest(engine: Engine, folder: Path, update: int = 1) -> str:
    Checkpoints(folder, keep=1).save(engine, Position(0, "main", update, world=1, zero=1), None)
    found = newest_checkpoint(folder)
    assert found is not None and found.update == update
    return found.digest


def test_no_checkpoint_is_none(tmp_path: Path) -> None:
    assert newest_checkpoint(tmp_path) is None


def test_a_digest_follows_weights_moments_and_position(engine: Engine, tmp_path: Path) -> None:
    learn(engine, 1.0)
    first = digest(engine, tmp_path / "first")
    assert digest(engine, tmp_path / "same") == first
    assert digest(engine, tmp_path / "position", update=2) != first
    engine.load(tmp_path / "first" / "000-main-00000001")
    assert digest(engine, tmp_path / "loaded") == first
    engine.set_rate(0.0)
    rate = digest(engine, tmp_path / "rate")
    learn(engine, 2.0)  # moves no weight, only the moments
    assert len({first, rate, digest(engine, tmp_path / "moments")}) == 3


def test_every_file_of_a_run_counts_and_of_its_metrics_all_but_the_times(tmp_path: Path) -> None:
    line = '{"update": 1, "loss": 0.5, "seconds": 3.1, "wait": 0.1, "health/own": 0.2}\n'
    runs = tmp_path / "one", tmp_path / "two"
    for run in runs:
        (run / "stages").mkdir(parents=True)
        (run / "stages/weights").write_bytes(b"123")
        (run / "metrics.jsonl").write_text(line)
        (run / "lock").write_text(run.name)
    one, two = runs
    (two / "metrics.jsonl").write_text(line.replace("3.1", "9.9").replace("0.2", "0.3"))
    assert differences(products(one), products(two)) == []
    (two / "metrics.jsonl").write_text(line.replace("0.5", "0.6"))
    (two / "stages/weights").unlink()
    (two / "stages/.weights.tmp").touch()
    assert differences(products(one), products(two)) == [
        "metrics.jsonl differs",
        "stages/.weights.tmp should not be there",
        "stages/weights is missing",
    ]
