import multiprocessing
import os
import random
import threading
import time
from pathlib import Path

import pytest

from cavs_dist.data.remote.blocks import BlockCache, private_folder
from cavs_dist.errors import InputError

SIZE = 10_000


def name(number: int, content: str = "ab") -> str:
    return f"{content * 32}-{number}"


def whole(cache: BlockCache, number: int, size: int) -> bytes | None:
    return cache.read(name(number), size, 0, size)


def held(folder: Path) -> int:
    """Bytes of all files in the cache's folder, its lock's left out; a file may go while we look."""
    total = 0
    for path in folder.iterdir():
        try:
            total += path.stat().st_size * (path.name != "lock")
        except FileNotFoundError:
            continue
    return total


def test_a_block_is_kept_and_replaced(tmp_path: Path) -> None:
    cache = BlockCache(tmp_path, 100)
    assert whole(cache, 0, 3) is None
    cache.keep(name(0), b"one")
    assert whole(BlockCache(tmp_path, 100), 0, 3) == b"one"
    cache.keep(name(0), b"other")
    assert whole(cache, 0, 3) is None and whole(cache, 0, 5) == b"other" and cache.read(name(0), 5, 1, 3) == b"the"
    assert int((tmp_path / "lock").read_text()) == 5


def test_what_was_not_used_for_longest_goes_first(tmp_path: Path) -> None:
    cache = BlockCache(tmp_path, 40)
    for number in range(4):
        cache.keep(name(number), bytes(10))
        time.sleep(0.01)
    cache.read(name(0), 10, 3, 2)
    cache.keep(name(4), bytes(10))
    assert [whole(cache, number, 10) is not None for number in range(5)] == [True, False, True, True, True]


def test_blocks_that_others_left_count_and_nothing_else_is_touched(tmp_path: Path) -> None:
    (tmp_path / name(0)).write_bytes(bytes(30))
    (tmp_path / "thesis.tex").write_bytes(bytes(30))
    (tmp_path / "lock").write_text("nonsense")
    cache = BlockCache(tmp_path, 40)
    cache.keep(name(1), bytes(20))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted((name(1), "thesis.tex", "lock"))


def test_what_a_killed_process_left_half_done_is_mended(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text(f"{35:020d}")  # it noted a block that never came
    (tmp_path / ".new").write_bytes(bytes(7))
    cache = BlockCache(tmp_path, 40)
    cache.keep(name(1), bytes(10))
    assert whole(cache, 1, 10) is not None and held(tmp_path) == 10
    assert int((tmp_path / "lock").read_text()) == 10


def test_a_block_larger_than_the_bound_is_not_kept(tmp_path: Path) -> None:
    cache = BlockCache(tmp_path, 40)
    cache.keep(name(0), bytes(40))
    cache.keep(name(1), bytes(41))
    assert whole(cache, 1, 41) is None and whole(cache, 0, 40) is not None


def test_a_disk_that_takes_no_more_is_worth_one_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cache = BlockCache(tmp_path / "is not there", 40)
    cache.keep(name(0), b"one")
    cache.keep(name(1), b"two")
    assert capsys.readouterr().err.count("takes no more: No such file") == 1


def use(folder: Path, most: int, seed: int) -> None:
    cache, draws = BlockCache(folder, most), random.Random(seed)
    for _ in range(300):
        number = draws.randrange(40)
        found = whole(cache, number, SIZE)
        if found is None:
            cache.keep(name(number), bytes([number]) * SIZE)
        elif found != bytes([number]) * SIZE:
            os._exit(3)


def test_four_processes_never_hold_more_than_the_bound_nor_see_half_a_block(tmp_path: Path) -> None:
    most = 10 * SIZE
    processes = [multiprocessing.get_context("fork").Process(target=use, args=(tmp_path, most, s)) for s in range(4)]
    seen = [0]
    for process in processes:
        process.start()
    while any(process.is_alive() for process in processes):
        seen.append(held(tmp_path))
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    assert most // 2 < max(seen) <= most + SIZE
    assert int((tmp_path / "lock").read_text()) == held(tmp_path) <= most


def test_threads_may_share_it(tmp_path: Path) -> None:
    threads = [threading.Thread(target=use, args=(tmp_path, 10 * SIZE, seed)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert int((tmp_path / "lock").read_text()) == held(tmp_path) <= 10 * SIZE


def test_the_folder_is_the_user_s_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    folder = private_folder("")
    assert folder == tmp_path / f"cavs_dist-{os.getuid()}" and folder.stat().st_mode & 0o777 == 0o700
    assert private_folder("") == folder
    assert private_folder(str(tmp_path / "a/b")).is_dir()


def test_a_folder_that_others_may_write_or_a_link_is_refused(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    link = tmp_path / "link"
    link.symlink_to(private_folder(str(tmp_path / "own")))
    file = tmp_path / "file"
    file.write_text("")
    for path, message in ((shared, "written by others"), (link, "is a link"), (file, "cannot be made: File exists")):
        with pytest.raises(InputError, match=message):
            private_folder(str(path))
