import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cavs_dist.doctor.machine import open_files, shared_memory, threads


def under(limits: str, check: str) -> str:
    """Return the verdict of a check of this module, in a process with `ulimit` set."""
    code = f"from cavs_dist.doctor import machine; print(machine.{check}().verdict)"
    command = ["bash", "-c", f'{limits}; exec "$0" -c "$1"', sys.executable, code]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.mark.parametrize(("most", "verdict"), [("128", "failed"), ("512", "warning"), ("1024", "ok")])
def test_a_small_limit_of_files_is_told(most: str, verdict: str) -> None:
    assert under(f"ulimit -n {most}", "open_files") == verdict


def test_the_advice_is_a_limit_that_can_be_set() -> None:
    assert open_files().verdict in ("ok", "warning")
    code = "from cavs_dist.doctor import machine; print(machine.open_files().advice)"
    command = ["bash", "-c", 'ulimit -Sn 100; ulimit -Hn 300; exec "$0" -c "$1"', sys.executable, code]
    assert "ulimit -n 300" in subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_one_core_is_a_warning() -> None:
    assert under("taskset -cp 0 $$ >/dev/null", "threads") == "warning"


@pytest.mark.parametrize(("asked", "verdict"), [("1", "ok"), ("", "ok"), ("100000", "warning"), ("many", "warning")])
def test_threads_are_compared_with_the_cores(monkeypatch: pytest.MonkeyPatch, asked: str, verdict: str) -> None:
    if len(os.sched_getaffinity(0)) == 1:
        pytest.skip("one core")
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    finding = threads()
    assert finding.verdict == verdict and (asked or "not set") in finding.found


def test_shared_memory_that_is_not_there_fails(tmp_path: Path) -> None:
    assert shared_memory(tmp_path / "nowhere").verdict == "failed"


@pytest.mark.parametrize(("size", "verdict"), [("1m", "failed"), ("512m", "warning"), ("2g", "ok")])
def test_shared_memory_of_a_container(mounted: Callable[[str], Path], size: str, verdict: str) -> None:
    assert shared_memory(mounted(f"size={size}")).verdict == verdict
