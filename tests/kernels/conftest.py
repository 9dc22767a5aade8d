"""Where kernels are tested: on a GPU, else by Triton's interpreter, with fresh memory that is poisoned."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from cavs_kernels.dispatch import interpreting


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> torch.device:
    """Where kernels run. What a kernel is given to fill holds NaN, so that nothing it leaves out can pass."""
    if not (torch.cuda.is_available() or interpreting()):
        pytest.skip("kernels run on a GPU, or with TRITON_INTERPRET=1 in the environment")
    for name in ("empty", "empty_like"):
        monkeypatch.setattr(torch, name, _poisoned(getattr(torch, name)))
    monkeypatch.setattr(Tensor, "new_empty", _poisoned(Tensor.new_empty))
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _poisoned(make: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def poisoned(*args: object, **options: object) -> Tensor:
        fresh = make(*args, **options)
        return fresh.fill_(float("nan") if fresh.is_floating_point() else 123456789) if fresh.numel() else fresh

    return poisoned
