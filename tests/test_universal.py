"""2 -> 1 -> 4 ranks, ZeRO 1 and 2: weights, moments and statistics are the same numbers; and what ranks agree on."""

import os
import resource
from pathlib import Path

import deepspeed
import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn

from cavs_dist import distributed
from cavs_dist.checkpoint import Checkpoints, Position
from cavs_dist.engine import Engine, EngineConfig, OptimConfig, start_world
from cavs_dist.engine_files import FILES
from cavs_dist.errors import InputError
from cavs_dist.models.norm import SyncNorm
from cavs_dist.universal import convert

State = dict[str, tuple[Tensor, ...]]
OPTIM = OptimConfig(batch=4, lr=0.05, weight_decay=0.1)


class Net(nn.Module):
    """Sizes that no number of ranks divides, running statistics, and weights that are frozen."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.first, self.norm, self.last = nn.Conv2d(3, 7, 1), SyncNorm(7), nn.Conv2d(7, 5, 1)
        self.last.bias.requires_grad_(False)  # type: ignore[union-attr]

    def forward(self, maps: Tensor) -> Tensor:
        return self.last(self.norm(self.first(maps)).relu())


def make_engine(zero: int, seed: int = 0) -> Engine:
    return Engine(Net(seed), EngineConfig(zero=zero, threads=1), OPTIM)  # type: ignore[arg-type]


def backward(engine: Engine, number: int, *, spoilt: bool = False) -> None:
    torch.manual_seed(number)
    maps = torch.randn(4, 3, 2, 2)[distributed.rank() :: distributed.world_size()]
    engine.backward(engine(maps * torch.nan if spoilt else maps).square().mean())


def update(engine: Engine, number: int) -> None:
    backward(engine, number)
    assert engine.finite()
    engine.step()


def state(engine: Engine) -> State:
    """Weights, whole fp32 weights and moments, and the statistics, by name, as DeepSpeed gathers them. Collective."""
    found: State = {}
    for name, parameter in engine.model.named_parameters():
        found[name] = (parameter.detach().clone(), *(gathered(engine, parameter) if parameter.requires_grad else ()))
    return found | {name: (buffer.clone(),) for name, buffer in engine.model.named_buffers()}


def gathered(engine: Engine, parameter: nn.Parameter) -> list[Tensor]:
    kinds = ("exp_avg", "exp_avg_sq")
    if not engine.zero:
        return [engine._engine.optimizer.state[parameter][kind].clone() for kind in kinds]
    moments = [deepspeed.utils.safe_get_full_optimizer_state(parameter, kind) for kind in kinds]
    return [deepspeed.utils.safe_get_full_fp32_param(parameter), *moments]


def same(one: State, other: State) -> bool:
    return one.keys() == other.keys() and all(
        len(one[name]) == len(other[name]) and all(map(torch.equal, one[name], other[name])) for name in one
    )


def save(folder: Path, engine: Engine, update: int) -> None:
    position = Position(0, "main", update, distributed.world_size(), engine.zero)
    Checkpoints(folder, 2).save(engine, position, None)


def load(folder: Path, engine: Engine) -> int:
    """Load the newest into an engine of other weights, and return its update."""
    checkpoints = Checkpoints(folder, 2)
    found = checkpoints.newest(0, "main")
    assert found is not None
    checkpoints.load(engine, *found)
    return found[0].update


def join(rank: int, world: int, folder: str) -> None:
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world)}
    dist.init_process_group("gloo", init_method=f"file://{folder}/store{world}", rank=rank, world_size=world)
    start_world(EngineConfig(threads=1))


def two_ranks(rank: int, folder: str) -> None:
    join(rank, 2, folder)
    for zero in (0, 1, 2):
        engine = make_engine(zero)
        update(engine, 0)
        update(engine, 1)
        save(Path(folder, str(zero)), engine, 2)
        torch.save(state(engine), Path(folder, f"{zero}-{rank}.pt"))
        if zero:
            refuse_alike(rank, engine, Path(folder, str(zero)))
        drop_alike(rank, engine)
        engine.close()


def refuse_alike(rank: int, engine: Engine, folder: Path) -> None:
    """What goes wrong on rank 1 alone ends both, and leaves the checkpoint that is there."""
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    if rank == 1:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, unlimited[1]))
    with pytest.raises(InputError, match=r"rank_1_mp_rank_00_optim_states\.pt cannot be written: .*; free some space"):
        save(folder, engine, 3)
    resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    distributed.barrier()
    assert [path.name for path in folder.iterdir()] == ["000-main-00000002"]
    distributed.barrier()
    (shard,) = folder.rglob("*rank_1_*")
    honest = shard.read_bytes()
    distributed.barrier()
    if rank == 1:
        torch.save({"hook": print}, shard)
    distributed.barrier()
    with pytest.raises(InputError, match="000-main-00000002 cannot be read"):
        engine.load(folder / "000-main-00000002")
    with pytest.raises(InputError, match="no checkpoint of stage 0, main, is whole"):
        load(folder, engine)
    distributed.barrier()
    if rank == 1:
        shard.write_bytes(honest)
    distributed.barrier()
    assert load(folder, engine) == 2


def drop_alike(rank: int, engine: Engine) -> None:
    """An update that only rank 1 saw go wrong moves nothing on either; the next is as if it had not been."""
    other = make_engine(engine.zero)
    for number in range(4):
        update(other, number)
    statistics = {name: buffer.clone() for name, buffer in engine.model.named_buffers()}
    backward(engine, 9, spoilt=rank == 1)
    assert not engine.finite()
    engine.drop()
    engine.model.load_state_dict(statistics, strict=False)
    for number in (2, 3):
        update(engine, number)
    assert all(map(torch.equal, engine.model.state_dict().values(), other.model.state_dict().values()))
    other.close()


def four_ranks(rank: int, folder: str) -> None:
    join(rank, 4, folder)
    for zero in (0, 1, 2):
        engine = make_engine(zero, seed=4)
        assert load(Path(folder, f"{zero} [a+b]"), engine) == 1
        assert same(state(engine), torch.load(Path(folder, f"{zero}.pt")))
        update(engine, 1)
        engine.close()


@pytest.mark.world
@pytest.mark.slow
def test_two_ranks_to_one(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(two_ranks, (str(tmp_path),), nprocs=2)
    start_world(EngineConfig(threads=1))
    for zero in (0, 1, 2):
        engine = make_engine(zero, seed=4)
        assert load(tmp_path / str(zero), engine) == 2
        assert same(state(engine), torch.load(tmp_path / f"{zero}-0.pt"))
        if zero:
            assert load(tmp_path / str(3 - zero), engine) == 2  # of the other ZeRO stage
            assert same(state(engine), torch.load(tmp_path / f"{3 - zero}-1.pt"))
        update(engine, 2)
        engine.close()
        assert all(not path.name.startswith(".") for path in (tmp_path / str(zero)).iterdir())


@pytest.mark.world
@pytest.mark.slow
@pytest.mark.long
def test_one_rank_to_four(tmp_path: Path) -> None:
    start_world(EngineConfig(threads=1))
    for zero in (0, 1, 2):
        engine = make_engine(zero)
        update(engine, 0)
        save(tmp_path / f"{zero} [a+b]", engine, 1)  # DeepSpeed would take this path for a pattern
        torch.save(state(engine), tmp_path / f"{zero}.pt")
        engine.close()
    torch.multiprocessing.spawn(four_ranks, (str(tmp_path),), nprocs=4)


class Trap:
    """Pickled, it makes a file where it is unpickled by running it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return os.mkdir, (str(self.path),)


def test_what_is_converted_runs_nothing(tmp_path: Path) -> None:
    start_world(EngineConfig(threads=1))
    engine = make_engine(1)
    update(engine, 0)
    save(tmp_path / "run", engine, 1)
    (checkpoint,) = (tmp_path / "run").iterdir()
    other = make_engine(2)
    for number, path in enumerate(sorted(checkpoint.rglob("*.pt"))):
        honest = path.read_bytes()
        torch.save({"optimizer_state_dict": Trap(tmp_path / "sprung"), "module": Trap(tmp_path / "sprung")}, path)
        with pytest.raises(InputError, match=r"000-main-00000001 cannot be read"):
            Checkpoints(tmp_path / "run", 2).load(other, Position(0, "main", 1, world=1, zero=1), checkpoint)
        assert not (tmp_path / "sprung").exists(), number
        path.write_bytes(honest)
    (tmp_path / "universal").mkdir()
    convert(checkpoint / FILES, tmp_path / "universal")
    assert (tmp_path / "universal/zero/first.weight/exp_avg.pt").exists()
    other.close()
    engine.close()
