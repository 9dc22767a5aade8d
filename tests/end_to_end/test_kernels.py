"""A run whose ops are Triton kernels, interpreted, learns what a run of references learns."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cavs_dist.config import load_run
from cavs_dist.trainer import train

UPDATES = 3
FAMILIES = ("av_attention", "collision", "segmentation_loss")
PROGRAM = """
import sys
from cavs_dist.cli import main
try:
    main()
finally:
    print(*(name for name in sys.modules if name.startswith("cavs_kernels")))
"""


def losses(folder: Path) -> list[float]:
    """The losses of the main model's updates in stage 1."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if "loss" in line and line["stage"] == 1]


@pytest.mark.slow
def test_three_updates_of_kernels_equal_those_of_references(
    wait_for: Callable[..., None], scenes: Path, tmp_path: Path
) -> None:
    overrides = [f"data.path={scenes}"]
    train(load_run("tiny", [*overrides, f"out={tmp_path / 'reference'}"]))
    arguments = ["train", "tiny", *overrides, f"out={tmp_path / 'kernels'}", f"train.start={tmp_path / 'reference'}"]
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments], env={**os.environ, "TRITON_INTERPRET": "1"},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        wait_for(process, tmp_path / "kernels", UPDATES)
        process.send_signal(signal.SIGTERM)
        used, said = process.communicate(timeout=180)
    finally:
        process.kill()
    assert process.returncode == 75, said
    assert all(f"cavs_kernels.{family}.kernel" in used.split() for family in FAMILIES)
    found = losses(tmp_path / "kernels")[:UPDATES]
    assert found == pytest.approx(losses(tmp_path / "reference")[:UPDATES], rel=1e-5)
