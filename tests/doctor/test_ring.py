import subprocess
import sys
from pathlib import Path

import pytest

from cavs_dist.doctor.ring import all_reduce


@pytest.mark.world
def test_ranks_of_this_machine_sum_a_tensor() -> None:
    finding = all_reduce()
    assert finding.verdict == "ok" and "ranks summed 4 MiB" in finding.found


@pytest.mark.world
def test_ranks_that_cannot_meet_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "nowhere0")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    finding = all_reduce()
    assert finding.verdict == "failed" and "exited with 1" in finding.found


@pytest.mark.world
def test_ranks_that_hang_are_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    finding = all_reduce(0.1)
    assert finding.verdict == "failed" and "rank 0 hangs" in finding.found


def test_a_rank_alone_is_a_world(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "cavs_dist.doctor.ring", "gloo", "0", "1", str(tmp_path / "store")]
    assert subprocess.run(command, check=False).returncode == 0
