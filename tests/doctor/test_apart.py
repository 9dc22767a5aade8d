import os
import signal
import time
from pathlib import Path

import pytest

from cavs_dist.doctor.apart import Broke, Stuck, apart, forked
from cavs_dist.errors import InputError


def gone(process: int) -> bool:
    """Tell whether a process has ended, though nobody may have reaped it."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_what_work_returns_comes_back() -> None:
    assert apart(lambda: {"process": os.getpid()}, 10)["process"] != os.getpid()


def test_what_hangs_ends_with_what_it_started(tmp_path: Path) -> None:
    def hang() -> None:
        child = os.fork()
        if child == 0:
            time.sleep(60)
            os._exit(0)
        (tmp_path / "processes").write_text(f"{os.getpid()} {child}")
        time.sleep(60)

    start = time.monotonic()
    with pytest.raises(Stuck, match=r"within 0\.5 s"):
        apart(hang, 0.5)
    assert time.monotonic() - start < 5
    processes = [int(number) for number in (tmp_path / "processes").read_text().split()]
    end = time.monotonic() + 5
    while not all(map(gone, processes)) and time.monotonic() < end:
        time.sleep(0.01)
    assert all(map(gone, processes))


def test_errors_keep_their_kind() -> None:
    def refuse() -> None:
        raise InputError("optim.lr=fast is no number")

    def fail() -> None:
        raise KeyError("name\nmore")

    with pytest.raises(InputError, match=r"^optim\.lr=fast is no number$"):
        apart(refuse, 10)
    with pytest.raises(Broke, match="KeyError: 'name"):
        apart(fail, 10)
    with pytest.raises(Broke, match="without a word"):
        apart(lambda: os.kill(os.getpid(), signal.SIGKILL), 10)


def test_what_it_prints_is_dropped(capfd: pytest.CaptureFixture[str]) -> None:
    apart(lambda: os.write(1, b"DeepSpeed says hello"), 10)
    assert capfd.readouterr() == ("", "")


def test_a_forked_process_is_gone_after_its_block() -> None:
    with forked(lambda: time.sleep(60)) as child:
        assert not gone(child)
    assert gone(child)
