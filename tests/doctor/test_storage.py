import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from cavs_dist.doctor import storage
from cavs_dist.doctor.finding import Finding

CHECKS = (storage.writable, storage.locks, storage.sight, storage.speed, storage.clock)


@pytest.mark.parametrize("check", CHECKS)
def test_a_plain_disk_is_well_and_left_as_it_was(check: Callable[[Path], Finding], tmp_path: Path) -> None:
    finding = check(tmp_path / "scratch")
    assert finding.verdict == "ok", finding
    assert not list(tmp_path.iterdir())


def test_a_read_only_folder_fails(mounted: Callable[[str], Path]) -> None:
    folder = mounted("ro")
    finding = storage.writable(folder / "scratch")
    assert finding.verdict == "failed" and f"{folder}: Read-only file system" in finding.found


def test_a_full_disk_fails_and_is_left_empty(mounted: Callable[[str], Path]) -> None:
    folder = mounted("size=1m,nr_inodes=4")
    (folder / "full").write_bytes(bytes(1 << 20))
    finding = storage.writable(folder / "scratch")
    assert finding.verdict == "failed" and "No space left" in finding.found
    assert [path.name for path in folder.iterdir()] == ["full"]


def test_speed_writes_no_more_than_it_says(
    tmp_path: Path, room_for: Callable[[int], AbstractContextManager[None]]
) -> None:
    with room_for(storage.MOST):
        assert storage.speed(tmp_path / "scratch").verdict == "ok"
    with room_for(storage.CHUNK), pytest.raises(OSError, match="File too large"):
        storage.speed(tmp_path / "scratch")
    assert not list(tmp_path.iterdir())


def test_slow_disks_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "SLOW_SYNC", 0.0)
    assert "every product waits" in storage.speed(tmp_path / "scratch").advice
    monkeypatch.setattr(storage, "SLOW_SPEED", 1e15)
    assert "checkpoints will take long" in storage.speed(tmp_path / "scratch").advice


@contextmanager
def other_clock(monkeypatch: pytest.MonkeyPatch, seconds: float) -> Iterator[None]:
    """Have this machine's clock go wrong within the block; the disk's stays right."""
    right = storage.time.time
    with monkeypatch.context() as patch:
        patch.setattr(storage.time, "time", lambda: right() + seconds)
        yield


@pytest.mark.parametrize("seconds", [-60.0, 60.0])
def test_a_clock_that_differs_from_the_disks_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    with other_clock(monkeypatch, seconds):
        finding = storage.clock(tmp_path / "scratch")
    assert finding.verdict == "warning" and "60.0 s from the disk's" in finding.found


def test_room_is_compared_with_what_a_run_needs(tmp_path: Path, mounted: Callable[[str], Path]) -> None:
    assert storage.room(mounted("size=2g"), 1e6).verdict == "ok"
    assert storage.room(mounted("size=2g"), 1.5e9).verdict == "warning"
    finding = storage.room(mounted("size=2g"), 3e9)
    assert finding.verdict == "failed" and "needs up to 3.00 GB" in finding.found
    assert storage.room(mounted("size=1m"), None).verdict == "warning"
    assert "more files" in storage.room(mounted("size=4g,nr_inodes=100"), None).found


def test_a_folder_to_be_made_is_looked_at_where_it_will_be(tmp_path: Path) -> None:
    assert storage.nearest(tmp_path / "a" / "b") == tmp_path
    assert storage.nearest(Path("nowhere")) == Path(os.curdir).absolute()
