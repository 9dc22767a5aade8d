import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from cavs_dist.checkpoint import Checkpoints, Position, read_best
from cavs_dist.engine import Engine, EngineConfig, OptimConfig, start_world
from cavs_dist.errors import InputError
from cavs_dist.seal import MARKER, read_seal, write_seal

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


def again(checkpoints: Checkpoints) -> Checkpoints:
    """The same folder, as the next start of the run finds it."""
    return Checkpoints(checkpoints.folder, checkpoints.keep)


def folder_of(checkpoints: Checkpoints, role: str = "main") -> Path:
    found = checkpoints.newest(0, role)
    assert found is not None
    return found[1]


def updates(checkpoints: Checkpoints) -> list[str]:
    return sorted(path.name for path in checkpoints.folder.iterdir())


def test_the_newest_is_found_and_old_ones_go(checkpoints: Checkpoints, engine: Engine) -> None:
    assert checkpoints.newest(0, "main") is None and checkpoints.fits() == []
    save(checkpoints, engine, position(2), position(4), position(10))
    for one in (checkpoints, again(checkpoints)):
        found = one.newest(0, "main")
        assert found is not None and found[0] == position(10)
        assert one.newest(1, "main") is None and one.newest(0, "twin") is None
    assert updates(checkpoints) == ["000-main-00000004", "000-main-00000010"]


def test_those_of_a_fit_before_go_with_the_first_of_the_next(checkpoints: Checkpoints, engine: Engine) -> None:
    save(checkpoints, engine, position(8), position(9))
    assert checkpoints.fits() == [(0, "main")]
    save(checkpoints, engine, position(3, "hearing_twin"))  # its name sorts before theirs
    assert updates(checkpoints) == ["000-hearing_twin-00000003"]
    assert checkpoints.fits() == [(0, "hearing_twin")]


def test_a_position_is_restored_to_the_bit(checkpoints: Checkpoints, engine: Engine) -> None:
    counts = {"bell": 0.1 + 0.2, "cow": 1e-308, "pending": [[3, -0.0]]}
    full = Position(0, "main", 4, world=1, zero=1, best=1 / 3, nonfinite=2, rehearsal=counts)
    save(checkpoints, engine, full)
    found = again(checkpoints).newest(0, "main")
    assert found is not None and repr(found[0]) == repr(full)


@pytest.mark.parametrize("damage", ["truncated", "edited", "removed", "no marker", "torn marker", "renamed"])
def test_a_damaged_one_is_named_and_passed_over_for_an_older(
    checkpoints: Checkpoints, engine: Engine, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    save(checkpoints, engine, position(2), position(4))
    newest = folder_of(checkpoints)
    state = max(newest.rglob("*.pt"), key=lambda file: file.stat().st_size)
    content = bytearray(state.read_bytes())
    match damage:
        case "truncated":
            state.write_bytes(content[:-1])
        case "edited":
            content[len(content) // 2] ^= 1
            state.write_bytes(content)
        case "removed":
            state.unlink()
        case "no marker":
            (newest / MARKER).unlink()
        case "torn marker":
            (newest / MARKER).write_bytes((newest / MARKER).read_bytes()[:20])
        case "renamed":
            newest = newest.rename(newest.with_name("000-main-00000005"))
    before = {file: file.read_bytes() for file in newest.rglob("*") if file.is_file()}
    resumed = again(checkpoints)
    found = resumed.newest(0, "main")
    assert found is not None and found[0] == position(2)
    (said,) = capsys.readouterr().err.splitlines()
    assert f"{newest} is damaged and passed over: " in said
    # Going on, the run comes by its name again: nothing of it is overwritten.
    save(resumed, engine, position(3), position(int(newest.name[-8:])))
    (aside,) = resumed.folder.glob("damaged-*")
    assert {file.name: file.read_bytes() for file in aside.rglob("*") if file.is_file()} == {
        file.name: content for file, content in before.items()
    }
    assert again(checkpoints).newest(0, "main") == (position(int(newest.name[-8:])), newest)
    resumed.clear()
    assert list(checkpoints.folder.iterdir()) == [aside]


def test_where_none_is_whole_what_to_remove_is_said(checkpoints: Checkpoints, engine: Engine) -> None:
    save(checkpoints, engine, position(2), position(4))
    for marker in checkpoints.folder.rglob(MARKER):
        marker.unlink()
    with pytest.raises(InputError, match=r"train this fit anew, remove .*000-main-00000002, .*000-main-00000004"):
        again(checkpoints).newest(0, "main")
    assert len(updates(checkpoints)) == 2


def test_one_of_a_newer_version_is_refused_and_not_passed_over(checkpoints: Checkpoints, engine: Engine) -> None:
    save(checkpoints, engine, position(2), position(4))
    marker = folder_of(checkpoints) / MARKER
    marker.write_text(json.dumps({**json.loads(marker.read_text()), "format": 2}))
    with pytest.raises(InputError, match="upgrade it"):
        again(checkpoints).newest(0, "main")


def test_one_that_knows_more_than_this_version_is_refused(checkpoints: Checkpoints, engine: Engine) -> None:
    save(checkpoints, engine, position(2))
    seal = read_seal(folder_of(checkpoints))
    write_seal(folder_of(checkpoints), replace(seal, position={**seal.position, "mood": "good"}))
    with pytest.raises(InputError, match=r"000-main-00000002 is of another version of cavs_dist"):
        again(checkpoints).newest(0, "main")


def test_what_earlier_starts_left_unfinished_goes(checkpoints: Checkpoints, engine: Engine) -> None:
    save(checkpoints, engine, position(2))
    left = checkpoints.folder / ".000-main-00000004.0123abcd.tmp"
    shutil.copytree(folder_of(checkpoints), left)
    assert again(checkpoints).newest(0, "main") == (position(2), folder_of(checkpoints))
    save(again(checkpoints), engine, position(4))
    assert updates(checkpoints) == ["000-main-00000002", "000-main-00000004"]


def test_what_cannot_be_removed_is_one_warning(
    checkpoints: Checkpoints, engine: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    save(checkpoints, engine, position(2), position(4))
    mounted = checkpoints.folder / "000-main-00000002"
    mounted.rename(checkpoints.folder / "elsewhere")
    mounted.write_text("no folder")  # neither a folder to remove nor a checkpoint
    save(checkpoints, engine, position(6), position(8))
    (said,) = capsys.readouterr().err.splitlines()
    assert "an old checkpoint cannot be removed" in said
    assert folder_of(again(checkpoints)).name == "000-main-00000008"


def test_the_best_weights_travel_with_it(checkpoints: Checkpoints, engine: Engine) -> None:
    best = {"weight": torch.arange(3.0)}
    save(checkpoints, engine, position(2), best=best)
    kept = read_best(folder_of(checkpoints))
    assert kept is not None and torch.equal(kept["weight"], best["weight"])
    save(checkpoints, engine, position(4))
    assert read_best(folder_of(checkpoints)) is None
    checkpoints.clear()
    assert checkpoints.newest(0, "main") is None and not checkpoints.folder.exists()


def test_another_zero_is_cut_anew_but_for_0(checkpoints: Checkpoints, engine: Engine) -> None:
    save(checkpoints, engine, position(2))
    (found,) = [found for found in [checkpoints.newest(0, "main")] if found]
    other = Engine(nn.Linear(3, 2), EngineConfig(zero=0, threads=1), OptimConfig(batch=2))
    with pytest.raises(InputError, match=r"written with engine\.zero=1, this run has 0: go on with 1 until"):
        checkpoints.load(other, *found)
    other.close()
