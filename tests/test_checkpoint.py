from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from cavs_dist.checkpoint import MARKER, Checkpoints, Position, read_best, read_position
from cavs_dist.engine import Engine, EngineConfig, OptimConfig, start_world

ENGINE = EngineConfig(threads=1)


@pytest.fixture
def engine() -> Iterator[Engine]:
    start_world(ENGINE)
    engine = Engine(nn.Linear(3, 2), ENGINE, OptimConfig(batch=2))
    yield engine
    engine.close()


@pytest.fixture
def checkpoints(tmp_path: Path) -> Checkpoints:
    return Checkpoints(tmp_path / "checkpoints", keep=2)


def position(update: int, role: str = "main", stage: int = 0) -> Position:
    return Position(stage, role, update, world=1, zero=1)


def save(checkpoints: Checkpoints, engine: Engine, *positions: Position, best: dict[str, Tensor] | None = None) -> None:
    for one in positions:
        checkpoints.save(engine, one, best)


def test_the_newest_is_found_and_old_ones_go(checkpoints: Checkpoints, engine: Engine) -> None:
    assert checkpoints.newest(0, "main") is None and checkpoints.newest_position() is None
    save(checkpoints, engine, position(2), position(4), position(10))
    found = checkpoints.newest(0, "main")
    assert found is not None and found[0] == position(10)
    assert len(list(checkpoints.folder.iterdir())) == 2
    assert checkpoints.newest(1, "main") is None and checkpoints.newest(0, "twin") is None


def test_the_newest_of_all_fits(checkpoints: Checkpoints, engine: Engine) -> None:
    save(checkpoints, engine, position(9), position(3, "twin"))
    assert checkpoints.newest_position() == position(3, "twin")
    save(checkpoints, engine, position(1, "main", stage=1))
    assert checkpoints.newest_position() == position(1, "main", stage=1)


@pytest.mark.parametrize("damage", ["truncated", "removed", "no marker", "torn marker"])
def test_a_damaged_one_is_passed_over_for_an_older(checkpoints: Checkpoints, engine: Engine, damage: str) -> None:
    save(checkpoints, engine, position(2), position(4))
    found = checkpoints.newest(0, "main")
    assert found is not None
    state = max((file for file in found[1].rglob("*.pt")), key=lambda file: file.stat().st_size)
    marker = found[1] / MARKER
    match damage:
        case "truncated":
            state.write_bytes(state.read_bytes()[:-1])
        case "removed":
            state.unlink()
        case "no marker":
            marker.unlink()
        case "torn marker":
            marker.write_bytes(marker.read_bytes()[:20])
    assert read_position(found[1]) is None
    older = checkpoints.newest(0, "main")
    assert older is not None and older[0] == position(2)
    assert checkpoints.newest_position() == position(2)


def test_an_unfinished_one_is_none(checkpoints: Checkpoints, engine: Engine) -> None:
    save(checkpoints, engine, position(2))
    found = checkpoints.newest(0, "main")
    assert found is not None
    found[1].rename(checkpoints.folder / ".000-main-00000002.tmp")
    assert checkpoints.newest(0, "main") is None and checkpoints.newest_position() is None
    save(checkpoints, engine, position(2))
    assert [path.name for path in checkpoints.folder.iterdir()] == ["000-main-00000002"]


def test_the_best_weights_travel_with_it(checkpoints: Checkpoints, engine: Engine) -> None:
    best = {"weight": torch.arange(3.0)}
    save(checkpoints, engine, position(2), best=best)
    found = checkpoints.newest(0, "main")
    assert found is not None
    kept = read_best(found[1])
    assert kept is not None and torch.equal(kept["weight"], best["weight"])
    save(checkpoints, engine, position(4))
    newest = checkpoints.newest(0, "main")
    assert newest is not None and read_best(newest[1]) is None
    checkpoints.clear()
    assert checkpoints.newest(0, "main") is None
