import subprocess
import sys
from collections.abc import Callable

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from cavs_kernels.dispatch import choose, reference_only, takes_kernel


def slow(tensor: torch.Tensor) -> str:
    return "reference"


def fast(tensor: torch.Tensor) -> str:
    return "kernel"


def load_fast() -> Callable[[torch.Tensor], str]:
    return fast


def test_a_cpu_tensor_runs_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    assert choose(slow, load_fast, torch.zeros(1)) is slow


def test_a_gpu_tensor_runs_the_kernel_unless_forbidden() -> None:
    with FakeTensorMode():
        tensor = torch.empty(1, device="cuda")
    assert choose(slow, load_fast, tensor) is fast
    with reference_only():
        assert choose(slow, load_fast, tensor) is slow
    assert choose(slow, load_fast, tensor) is fast


def test_where_triton_interprets_every_tensor_runs_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    assert choose(slow, load_fast, torch.zeros(1)) is fast
    with reference_only():
        assert choose(slow, load_fast, torch.zeros(1)) is slow


def test_without_triton_everything_runs_its_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    monkeypatch.setattr("cavs_kernels.dispatch.find_spec", lambda name: None)
    assert choose(slow, load_fast, torch.zeros(1)) is slow


def test_the_ops_do_not_import_triton() -> None:
    program = "import sys, cavs_kernels.collision, cavs_kernels.av_attention; sys.exit('triton' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_a_compiled_op_follows_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    compiled = torch.compile(lambda tensor: tensor + int(takes_kernel(tensor)), backend="eager", fullgraph=True)
    assert compiled(torch.zeros(1)) == 1
    with reference_only():
        assert compiled(torch.zeros(1)) == 0
    assert compiled(torch.zeros(1)) == 1


def test_float64_runs_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    assert choose(slow, load_fast, torch.zeros(1, dtype=torch.float64)) is slow
