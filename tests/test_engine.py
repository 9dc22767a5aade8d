from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from cavs_dist import stop
from cavs_dist.engine import (
    Engine,
    EngineConfig,
    OptimConfig,
    autocast,
    deepspeed_json,
    make_optimizer,
    start_world,
)
from cavs_dist.engine_files import running_nothing
from cavs_dist.errors import InputError

STEPS = 3


@pytest.fixture(autouse=True)
def world() -> None:
    start_world(EngineConfig(threads=1))


def make_model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 2))


def make_batches(steps: int = STEPS) -> list[Tensor]:
    torch.manual_seed(1)
    return [torch.randn(4, 5) for _ in range(steps)]


def update(engine: Engine, batch: Tensor, micro_batches: int = 1) -> bool:
    """One update; tell whether it was finite."""
    for part in batch.chunk(micro_batches):
        engine.backward(engine(part).square().mean())
        finite = engine.finite()
        engine.step()
    return finite


def weights(model: nn.Module) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


@pytest.mark.parametrize("zero", [0, 1, 2])
@pytest.mark.parametrize("micro_batches", [1, 2])
def test_an_update_is_the_plain_one(zero: int, micro_batches: int) -> None:
    optim = OptimConfig(batch=4, lr=0.05, weight_decay=0.1, clip=0.05)
    model, plain = make_model(), make_model()
    engine = Engine(model, EngineConfig(zero=zero, micro_batch=4 // micro_batches), optim)
    optimizer = make_optimizer(optim, plain)
    for batch in make_batches():
        update(engine, batch, micro_batches)
        optimizer.zero_grad()
        plain(batch).square().mean().backward()
        nn.utils.clip_grad_norm_(plain.parameters(), optim.clip)
        optimizer.step()
    engine.close()
    assert torch.allclose(weights(model), weights(plain), atol=1e-6)


@pytest.mark.parametrize("zero", [0, 1, 2])
@pytest.mark.parametrize("micro_batches", [1, 2])
@pytest.mark.parametrize("clip", [0.0, 1e-3])
def test_the_norm_of_the_gradient_is_that_before_clipping(zero: int, micro_batches: int, clip: float) -> None:
    model, plain = make_model(), make_model().double()
    model[2].bias.requires_grad_(False)  # type: ignore[index]
    engine = Engine(model, EngineConfig(zero=zero, micro_batch=4 // micro_batches), OptimConfig(batch=4, clip=clip))
    assert float(engine.gradient_norm) == 0
    for batch in make_batches():
        with torch.no_grad():
            for exact, weight in zip(plain.parameters(), model.parameters(), strict=True):
                exact.copy_(weight)
        slopes = torch.autograd.grad(plain(batch.double()).square().mean(), [*plain.parameters()][:-1])
        update(engine, batch, micro_batches)
        expected = torch.cat([slope.flatten() for slope in slopes]).norm().item()
        assert float(engine.gradient_norm) == pytest.approx(expected, rel=1e-6)
    engine.close()


def test_the_rate_is_set_and_frozen_parameters_stay() -> None:
    model = make_model()
    model[0].requires_grad_(False)  # type: ignore[index]
    before = weights(model)
    engine = Engine(model, EngineConfig(), OptimConfig(batch=4, lr=0.5))
    engine.set_rate(0.0)
    update(engine, make_batches()[0])
    assert torch.equal(weights(model), before)
    engine.set_rate(0.1)
    update(engine, make_batches()[0])
    engine.close()
    moved = weights(model) != before
    assert not moved[:24].any() and moved[24:].all()


@pytest.mark.parametrize("zero", [0, 1, 2])
def test_weights_lie_in_memory_of_their_own_afterwards(zero: int) -> None:
    model = make_model()
    engine = Engine(model, EngineConfig(zero=zero), OptimConfig(batch=4))
    update(engine, make_batches()[0])
    before = weights(model)
    engine.close()
    assert weights(model).equal(before)
    assert all(value.untyped_storage().nbytes() == 4 * value.numel() for value in model.parameters())


@pytest.mark.parametrize("zero", [0, 1, 2])
def test_a_gradient_that_is_not_finite_is_seen_before_the_step(zero: int) -> None:
    model = make_model()
    engine = Engine(model, EngineConfig(zero=zero), OptimConfig(batch=4))
    assert update(engine, make_batches()[0])
    # The root of 0 is finite, its slope is not.
    engine.backward((engine(make_batches()[0]) * 0).sum().sqrt())
    assert not engine.finite()
    engine.close()
    assert weights(model).isfinite().all()


def test_a_stop_is_learned_of_with_the_update_and_forgotten_with_its_cause() -> None:
    engine = Engine(make_model(), EngineConfig(), OptimConfig(batch=4))
    first, second, _ = make_batches()
    assert update(engine, first) and engine.stopped_by == ""
    with stop.listening():
        stop.ask("SIGUSR1")
        assert update(engine, second) and engine.stopped_by == "SIGUSR1"
    assert update(engine, first) and engine.stopped_by == ""
    engine.close()


@pytest.mark.parametrize("zero", [0, 1, 2])
@pytest.mark.parametrize("micro_batches", [1, 2])
def test_an_update_that_is_dropped_might_never_have_been(zero: int, micro_batches: int, tmp_path: Path) -> None:
    config, optim = EngineConfig(zero=zero, micro_batch=4 // micro_batches), OptimConfig(batch=4, lr=0.05, clip=0.1)
    first, second, third = make_batches()
    trained = []
    for bad in (torch.full_like(second, torch.inf), None):
        trained.append(make_model())
        engine = Engine(trained[-1], config, optim)
        update(engine, first, micro_batches)
        if bad is not None:
            for part in bad.chunk(micro_batches)[:-1]:
                engine.backward(engine(part).square().mean())
                engine.step()
            engine.backward(engine(bad.chunk(micro_batches)[-1]).square().mean())
            assert not engine.finite()
            engine.drop()
        update(engine, second, micro_batches)
        engine.save(tmp_path / str(bad is None))
        update(engine, third, micro_batches)
        engine.close()
    assert torch.equal(weights(trained[0]), weights(trained[1]))
    with running_nothing():
        for path in (tmp_path / "True").rglob("*.pt"):
            states = [torch.load(tmp_path / name / path.relative_to(tmp_path / "True")) for name in ("True", "False")]
            assert str(states[0]) == str(states[1])


@pytest.mark.parametrize("zero", [0, 1, 2])
def test_what_is_saved_goes_on_bit_for_bit(zero: int, tmp_path: Path) -> None:
    config, optim = EngineConfig(zero=zero), OptimConfig(batch=4, lr=0.05)
    first, second, third = make_batches()
    whole, resumed = make_model(), make_model()
    engine = Engine(whole, config, optim)
    update(engine, first)
    engine.save(tmp_path)
    update(engine, second)
    update(engine, third)
    engine.close()
    engine = Engine(resumed, config, optim)
    engine.load(tmp_path)
    update(engine, second)
    update(engine, third)
    engine.close()
    assert torch.equal(weights(whole), weights(resumed))
    assert not list(tmp_path.rglob("*.py"))  # DeepSpeed would leave a program there


def test_what_does_not_fit_or_runs_code_is_refused(tmp_path: Path) -> None:
    engine = Engine(make_model(), EngineConfig(), OptimConfig(batch=4))
    with pytest.raises(InputError, match="remove it to go on from an older checkpoint"):
        engine.load(tmp_path)
    engine.save(tmp_path)
    for path in tmp_path.rglob("*.pt"):
        honest = path.read_bytes()
        torch.save({"hook": print}, path)
        with pytest.raises(InputError, match="remove it to go on from an older checkpoint"):
            engine.load(tmp_path)
        path.write_bytes(honest)
    engine.load(tmp_path)
    engine.close()


@pytest.mark.parametrize(("batch", "micro", "world"), [(8, 0, 1), (8, 4, 2), (12, 6, 3)])
def test_the_json_adds_up(batch: int, micro: int, world: int) -> None:
    made = deepspeed_json(EngineConfig(zero=2, micro_batch=micro), OptimConfig(batch=batch, clip=0.5), world)
    steps, share = made["gradient_accumulation_steps"], made["train_micro_batch_size_per_gpu"]
    assert made["train_batch_size"] == batch == share * steps * world
    assert made["zero_optimization"] == {"stage": 2} and made["gradient_clipping"] == 0.5


@pytest.mark.parametrize(("precision", "dtype"), [("bf16", torch.bfloat16), ("fp32", torch.float32)])
def test_precision_is_of_the_arithmetic_alone(precision: str, dtype: torch.dtype) -> None:
    model = make_model()
    with autocast(EngineConfig(precision=precision)):  # type: ignore[arg-type]
        assert model(make_batches()[0]).dtype is dtype
    assert weights(model).dtype is torch.float32
