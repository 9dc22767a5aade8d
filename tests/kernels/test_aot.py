"""Every kernel compiles for GPUs that are not here, spills nothing and fits."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

KERNELS = Path(__file__).parents[2] / "kernels"


def compile_all(*arguments: str) -> tuple[int, str]:
    """Run the table in a process of its own, in which Triton compiles."""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    done = subprocess.run(
        [sys.executable, "-m", "cavs_kernels.aot", *arguments],
        env=environment | {"PYTHONPATH": str(KERNELS)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


@pytest.mark.slow
def test_kernels_fit_an_h100_and_an_mi300() -> None:
    code, said = compile_all("--architectures", "sm_90", "gfx942")
    assert code == 0 and "does not fit" not in said, said
    assert "pair_counts head bf16" in said


@pytest.mark.slow
@pytest.mark.long
def test_kernels_fit_every_architecture() -> None:
    code, said = compile_all()
    assert code == 0, said


def test_what_does_not_fit_is_told() -> None:
    pytest.importorskip("triton")
    from cavs_kernels.aot import Row

    row = Row("sm_80", "made up", 255, 0, 166_912, "mma", 1.0)
    assert row.fits
    assert not row._replace(spilled=8).fits
    assert not row._replace(shared=166_913).fits
    assert row._replace(shared=200_000, architecture="sm_90").fits
