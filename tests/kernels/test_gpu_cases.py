"""What `bench/gpu.py` times, at small shapes: every way agrees with float64, or the bench would time nothing."""

import pytest
import torch
from gpu import error_of
from gpu_cases import FAMILIES, Case, Shapes

from cavs_kernels.dispatch import reference_only

pytestmark = pytest.mark.kernel
SMALL = Shapes(clips=2, frames=3, side=8, features=4, old=3, labels=5, levels=(3,), channels=64)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_way_agrees_with_float64(
    family: str, dtype: torch.dtype, device: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "compile", lambda way, dynamic: way)  # a compiler is not what is tested
    for case in FAMILIES[family](SMALL, dtype, device):
        truth = case.truth()
        errors = {name: error_of(way(), truth) for name, way in case.ways.items()}
        assert max(errors.values()) <= case.tolerance, (case.name, errors)
        assert next(iter(case.ways)) == "kernel"


def test_what_is_off_is_seen(device: torch.device) -> None:
    case: Case = next(FAMILIES["segmentation_loss"](SMALL, torch.float32, device))
    with reference_only():
        truth = case.truth()
        wrong = [part.clone() for part in truth]
        wrong[-1][0] += 0.1 * wrong[-1].norm()
    assert error_of(wrong, truth) == pytest.approx(0.1, rel=1e-6)
