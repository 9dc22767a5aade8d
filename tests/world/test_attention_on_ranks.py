"""The attention block by kernels on two ranks: values, statistics and slopes are those of one with all of it."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor

from cavs_dist.distributed import summed_over_ranks
from cavs_kernels.av_attention import AttentionWeights, NormWeights, av_attention_block

GROUPS, FRAMES, PIXELS, CHANNELS = 4, 2, 9, 64
pytestmark = pytest.mark.world


def inputs() -> tuple[list[Tensor], Tensor]:
    """Tokens, audio, 8 attention weights and 4 norm weights; and the slope of Z."""
    torch.manual_seed(0)
    inner = CHANNELS // 2
    sizes = [(inner, CHANNELS), (inner,)] * 3 + [(CHANNELS, inner), (CHANNELS,)] + [(CHANNELS,)] * 4
    weights = [torch.randn(size) / (size[-1] ** 0.5 if len(size) > 1 else 1.0) for size in sizes]
    tokens = torch.randn(GROUPS, FRAMES, PIXELS, CHANNELS) + torch.arange(GROUPS).view(-1, 1, 1, 1)
    return [tokens, torch.randn(GROUPS, FRAMES, CHANNELS), *weights], torch.randn_like(tokens)


def attend(rank: int, world: int, mode: str) -> dict[str, Any]:
    """Attend in this rank's groups, 3 of 4 on the first of two; slopes of what all ranks share are summed."""
    mine = slice(0, GROUPS) if world == 1 else (slice(0, 3), slice(3, GROUPS))[rank]
    leaves, slope = inputs()
    own = [leaf[mine].requires_grad_() for leaf in leaves[:2]]
    shared = [leaf.requires_grad_() for leaf in leaves[2:]]
    weights, norms = AttentionWeights(*shared[:8]), NormWeights(*shared[8:])
    z, found = av_attention_block(own[0], own[1], weights, norms, mode=mode, reduce=summed_over_ranks)
    slopes = torch.autograd.grad(z, [*own, *shared], slope[mine])
    return {
        "own": [z.detach(), *slopes[:2]],
        "shared": [*(summed_over_ranks(each) for each in slopes[2:])],
        "statistics": [each.detach() for each in found or ()],
    }


def run(rank: int, world: int, folder: str) -> None:
    torch.set_num_threads(1)
    if world > 1:
        dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=world)
    torch.save({mode: attend(rank, world, mode) for mode in ("dot", "softmax")}, f"{folder}/{world}-{rank}.pt")
    if world > 1:
        dist.destroy_process_group()


def test_two_ranks_are_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_INTERPRET", "1")  # what is spawned sees it
    for world in (1, 2):
        torch.multiprocessing.spawn(run, (world, str(tmp_path)), nprocs=world)
    [alone], ranks = ([torch.load(tmp_path / f"{world}-{rank}.pt") for rank in range(world)] for world in (1, 2))
    for mode, expected in alone.items():
        own = [torch.cat(parts) for parts in zip(*(rank[mode]["own"] for rank in ranks), strict=True)]
        for ours, theirs in zip(own, expected["own"], strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
        for rank in ranks:
            for name in ("shared", "statistics"):
                for ours, theirs in zip(rank[mode][name], expected[name], strict=True):
                    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-3)
