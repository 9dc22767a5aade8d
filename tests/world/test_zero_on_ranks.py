"""Ops under ZeRO on two ranks: whole weights reach them, and whole slopes come back, at stage 3 too."""

import os
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn

from cavs_dist.models.attention import AudioVisualAttention
from cavs_kernels.head import Head
from cavs_kernels.segmentation_loss import segmentation_terms

FRAMES, CHANNELS, CLASSES, SIDE = 4, 64, 5, 6
pytestmark = [pytest.mark.world, pytest.mark.slow]


class Small(nn.Module):
    """One level of attention, and a classifier whose logits only the loss makes."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.attention = AudioVisualAttention(CHANNELS, 16, "dot", "sync")
        nn.init.ones_(self.attention.norm.weight)
        self.classifier = nn.Linear(CHANNELS, CLASSES)

    def forward(self, maps: Tensor, sound: Tensor, labels: Tensor) -> Tensor:
        """Return the mean of all frames' cross-entropies."""
        attended, _ = self.attention(maps, sound, torch.ones(1, FRAMES, dtype=torch.bool))
        head = Head(attended, self.classifier.weight, self.classifier.bias)
        return segmentation_terms(head, labels).cross_entropy.mean()


def inputs() -> tuple[Tensor, Tensor, Tensor]:
    """Maps, sound and labels, the same on all ranks: means over ranks are then those of one."""
    torch.manual_seed(1)
    size = (SIDE, SIDE)
    return torch.randn(FRAMES, CHANNELS, *size), torch.randn(FRAMES, 16), torch.randint(CLASSES, (FRAMES, *size))


def run(rank: int, stage: int, folder: str) -> None:
    """Take one step's loss and slopes."""
    from cavs_dist.engine import EngineConfig, start_world

    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2")
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    start_world(EngineConfig(threads=1))
    import deepspeed
    from deepspeed.utils import safe_get_full_grad

    model = Small()
    settings = {"train_batch_size": 2, "zero_optimization": {"stage": stage}, "zero_allow_untested_optimizer": True}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    engine, *_ = deepspeed.initialize(model=model, optimizer=optimizer, config=settings)
    assert stage < 3 or not any(parameter.numel() for parameter in model.parameters())  # all are cut
    loss = engine(*inputs())
    engine.backward(loss)
    slopes = {name: safe_get_full_grad(parameter) for name, parameter in model.named_parameters()}
    if rank == 0:
        torch.save({"loss": loss.detach(), "slopes": slopes}, f"{folder}/found.pt")
    dist.destroy_process_group()


@pytest.mark.parametrize(("stage", "interpreted"), [(2, "1"), (3, "0"), (3, "1")])
def test_loss_and_slopes_are_those_of_one_process(
    stage: int, interpreted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Small()
    loss = model(*inputs())
    loss.backward()
    monkeypatch.setenv("TRITON_INTERPRET", interpreted)  # what is spawned sees it
    torch.multiprocessing.spawn(run, (stage, str(tmp_path)), nprocs=2)
    found = torch.load(tmp_path / "found.pt")
    torch.testing.assert_close(found["loss"], loss.detach(), rtol=1e-5, atol=1e-6)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(found["slopes"][name], parameter.grad, rtol=1e-4, atol=1e-5)
