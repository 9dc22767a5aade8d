import time
from collections.abc import Callable

import pytest

from cavs_dist.doctor.devices import compare, devices
from cavs_dist.doctor.seen import Seen, see

Install = Callable[[str, str], None]
NAME = "NVIDIA H100 80GB HBM3"
LISTED = [(NAME, "580.65.06", "81559")] * 2
without_gpus = pytest.mark.skipif(bool(see().names), reason="needs a machine without GPUs")


def seen(*names: str, build: str = "CUDA 13.0", why: str = "") -> Seen:
    return Seen(build, list(names), why, "2.30.7")


@without_gpus
def test_a_machine_without_gpus_is_well(install: Install) -> None:
    finding = devices()
    assert finding.verdict == "ok" and "nvidia-smi is not on PATH" in finding.found


@without_gpus
def test_a_driver_whose_gpus_torch_does_not_see_fails(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    install("nvidia-smi", f"echo '{NAME}, 580.65.06, 81559'")
    finding = devices()
    assert finding.verdict == "failed" and f"driver 580.65.06, 1 x {NAME} (81559 MiB)" in finding.found
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    finding = devices()
    assert finding.verdict == "warning" and finding.found.endswith("CUDA_VISIBLE_DEVICES=")


@pytest.mark.parametrize("said", ["", "all is well", "a, b, c, d", "name, , 3", r"\001\377"])
@without_gpus
def test_a_driver_that_talks_nonsense_fails(install: Install, said: str) -> None:
    install("nvidia-smi", f"printf '{said}\\n'")
    finding = devices()
    assert finding.verdict == ("failed" if said else "ok")
    assert not said or "no name, driver and memory" in finding.found


@without_gpus
def test_a_broken_driver_is_a_warning_since_login_nodes_look_the_same(install: Install) -> None:
    install("nvidia-smi", "echo could not communicate with the NVIDIA driver; exit 9")
    finding = devices()
    assert finding.verdict == "warning" and "exited with 9: could not communicate" in finding.found


def test_a_driver_that_hangs_fails(install: Install) -> None:
    install("nvidia-smi", "exec /bin/sleep 60")
    start = time.monotonic()
    finding = devices()
    assert finding.verdict == "failed" and "did not answer" in finding.found
    assert time.monotonic() - start < 30


@pytest.mark.parametrize(
    ("sees", "hidden", "verdict", "said"),
    [
        (seen(NAME, NAME), {}, "ok", "sees 2"),
        (seen(NAME), {}, "warning", "sees 1"),
        (seen(NAME), {"CUDA_VISIBLE_DEVICES": "1"}, "ok", "CUDA_VISIBLE_DEVICES=1"),
        (seen(build="CPU"), {}, "failed", "torch (CPU) sees 0"),
        (seen(why="the driver is too old"), {}, "failed", "the driver is too old"),
    ],
)
def test_driver_and_torch_are_compared(sees: Seen, hidden: dict[str, str], verdict: str, said: str) -> None:
    finding = compare(LISTED, sees, hidden)
    assert finding.verdict == verdict and said in finding.found
