from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn

from cavs_dist.models.norm import SyncNorm, make_norm, replace_batch_norms


def pair(frozen: bool = False) -> tuple[nn.BatchNorm2d, SyncNorm]:
    """A batch norm and ours, with the same random weights and statistics."""
    torch.manual_seed(0)
    theirs, ours = nn.BatchNorm2d(5).double(), SyncNorm(5, frozen=frozen).double()
    for values in (theirs.weight, theirs.bias, theirs.running_mean, theirs.running_var):
        nn.init.uniform_(values, 0.5, 2.0)
    ours.load_state_dict(
        {"weight": theirs.weight, "bias": theirs.bias, "mean": theirs.running_mean, "var": theirs.running_var}
    )
    return theirs, ours


def run(norm: nn.Module, maps: Tensor) -> list[Tensor]:
    """Values, and gradients of the maps, the weight and the bias."""
    maps = maps.clone().requires_grad_()
    values = norm(maps)
    direction = torch.sin(torch.arange(values.numel(), dtype=values.dtype)).view_as(values)
    return [values, *torch.autograd.grad(values, [maps, *norm.parameters()], direction)]


def test_it_is_a_batch_norm() -> None:
    theirs, ours = pair()
    for step in range(3):
        maps = 3 * torch.randn(4, 5, 3, 2, generator=torch.Generator().manual_seed(step)).double() + 100
        for expected, found in zip(run(theirs, maps), run(ours, maps), strict=True):
            torch.testing.assert_close(found, expected)
    torch.testing.assert_close(ours.mean, theirs.running_mean)
    torch.testing.assert_close(ours.var, theirs.running_var)
    torch.testing.assert_close(ours.eval()(maps), theirs.eval()(maps))


def test_frozen_it_stays_what_it_was() -> None:
    theirs, ours = pair(frozen=True)
    maps = torch.randn(4, 5, 3, 2).double()
    for expected, found in zip(run(theirs.eval(), maps), run(ours.train(), maps), strict=True):
        torch.testing.assert_close(found, expected)
    assert ours.mean.equal(theirs.running_mean)


def test_statistics_of_bfloat16_maps_are_float32() -> None:
    norm = SyncNorm(3)
    maps = torch.randn(8, 3, 30, 30).bfloat16()
    assert norm(maps).dtype == torch.bfloat16
    torch.testing.assert_close(norm.mean, 0.1 * maps.float().mean(dim=(0, 2, 3)))


def test_norms_by_name() -> None:
    assert isinstance(make_norm("sync", 8), SyncNorm) and make_norm("frozen", 8).frozen
    assert [make_norm("group", channels).num_groups for channels in (48, 30)] == [8, 1]


@pytest.mark.parametrize("frozen", [False, True])
def test_batch_norms_are_replaced_by_their_like(frozen: bool) -> None:
    theirs, _ = pair()
    body = nn.Sequential(nn.Conv2d(3, 5, 1), nn.Sequential(theirs, nn.ReLU())).double()
    frames = torch.randn(2, 3, 4, 4).double()
    trained, evaluated = body.train()(frames), body.eval()(frames)
    replace_batch_norms(body, frozen=frozen)
    assert not any(isinstance(child, nn.BatchNorm2d) for child in body.modules())
    torch.testing.assert_close(body.train()(frames), evaluated if frozen else trained)


def rank_of_two(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    norm, maps, direction = torch.load(f"{folder}/inputs.pt", weights_only=False)
    mine = slice(0, 3) if rank == 0 else slice(3, 4)
    maps = maps[mine].requires_grad_()
    values = norm(maps)
    values.backward(direction[mine])
    results = [values.detach(), maps.grad, norm.weight.grad, norm.bias.grad, norm.mean, norm.var]
    torch.save(results, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.world
def test_two_ranks_with_unequal_frames_are_one(tmp_path: Path) -> None:
    _, norm = pair()
    maps, direction = torch.randn(4, 5, 3, 2).double(), torch.randn(4, 5, 3, 2).double()
    torch.save((norm, maps, direction), tmp_path / "inputs.pt")
    torch.multiprocessing.spawn(rank_of_two, (str(tmp_path),), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    maps.requires_grad_()
    values = norm(maps)
    values.backward(direction)
    for place, expected in enumerate((values.detach(), maps.grad)):
        torch.testing.assert_close(torch.cat((first[place], second[place])), expected)
    for place, expected in enumerate((norm.weight.grad, norm.bias.grad), start=2):
        torch.testing.assert_close(first[place] + second[place], expected)
    for rank in (first, second):
        torch.testing.assert_close(rank[4:], [norm.mean, norm.var])
