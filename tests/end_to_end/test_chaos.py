"""The chaos bench with four kills: a run on two ranks, killed and started again, is the one that nobody touched."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HOUSE = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.world
@pytest.mark.chaos
def test_four_kills_lose_nothing(tmp_path: Path) -> None:
    # A run within this process has named itself rank 0 of 1 in the environment.
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
    environment = {name: value for name, value in os.environ.items() if name not in names}
    command = [sys.executable, HOUSE / "bench/chaos.py", "--kills", "4", "--out", tmp_path]
    done = subprocess.run(command, env=environment, cwd=HOUSE, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures["kills"] == 4 and figures["equal"] and figures["checkpoints_compared"] >= 2
