import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from cavs_kernels.dispatch import choose, reference_only


def slow(tensor: torch.Tensor) -> str:
    return "reference"


def fast(tensor: torch.Tensor) -> str:
    return "kernel"


def test_a_cpu_tensor_runs_the_reference() -> None:
    assert choose(slow, fast, torch.zeros(1)) is slow


def test_a_gpu_tensor_runs_the_kernel_unless_forbidden() -> None:
    with FakeTensorMode():
        tensor = torch.empty(1, device="cuda")
    assert choose(slow, fast, tensor) is fast
    assert choose(slow, None, tensor) is slow
    with reference_only():
        assert choose(slow, fast, tensor) is slow
    assert choose(slow, fast, tensor) is fast
