"""DeepSpeed, behind five verbs: forward, backward, step, save, load. One process on a CPU is a run like any other."""

import gc
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch._C._distributed_c10d import HashStore

from cavs_dist import distributed
from cavs_dist.errors import InputError

if not torch.cuda.is_available():
    os.environ.setdefault("DS_ACCELERATOR", "cpu")  # DeepSpeed reads it when it is imported

import deepspeed
from deepspeed.runtime.checkpoint_engine import TorchCheckpointEngine
from deepspeed.runtime.fp16.loss_scaler import LossScaler
from deepspeed.runtime.zero.config import ZeroStageEnum
from deepspeed.utils.tensor_fragment import fragment_address


@dataclass(frozen=True)
class EngineConfig:
    """The section `engine`; DeepSpeed's own JSON is derived from it.

    zero: what is split over ranks: 0 nothing, 1 the optimizer's state, 2 and the gradients. precision: of the model's
    arithmetic, `auto` is bf16 on GPUs and fp32 on CPUs. micro_batch: clips over all ranks that go through the model at
    once, 0 for the whole update. threads: CPU threads of a rank, 0 leaves torch's choice.
    """

    zero: Literal[0, 1, 2] = 1
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    micro_batch: int = 0
    threads: int = 0


@dataclass(frozen=True)
class OptimConfig:
    """The section `optim`.

    name: of the optimizer. batch: slots of an update over all ranks, rehearsed clips included. lr: learning rate.
    weight_decay: AdamW's if name=adamw, else added to the gradient. clip: largest norm of the gradient, 0 for none.
    schedule: of the rate within a stage. warmup: share of the stage's updates over which the rate rises from 0.
    """

    name: Literal["adam", "adamw"] = "adamw"
    batch: int = 16
    lr: float = 1e-3
    weight_decay: float = 0.0
    clip: float = 0.0
    schedule: Literal["constant", "cosine"] = "constant"
    warmup: float = 0.0


def start_world(config: EngineConfig) -> None:
    """Join the process group that torchrun's variables name (a group of one without them). Collective."""
    if config.threads:
        torch.set_num_threads(config.threads)
    if not torch.cuda.is_available():
        # Else DeepSpeed runs compilers to find out what it could compile, and compiles a reduction for a minute.
        deepspeed.ops.__compatible_ops__ = {}
    if "RANK" not in os.environ:
        store = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0", "RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"}
        os.environ.update(store)
        torch.distributed.init_process_group(
            "nccl" if torch.cuda.is_available() else "gloo", store=HashStore(), rank=0, world_size=1
        )
    if torch.cuda.is_available():
        torch.cuda.set_device(distributed.device())
    deepspeed.init_distributed("nccl" if torch.cuda.is_available() else "gloo", verbose=False)


def deepspeed_json(engine: EngineConfig, optim: OptimConfig, world: int) -> dict[str, Any]:
    """Derive DeepSpeed's configuration."""
    micro = engine.micro_batch or optim.batch
    return {
        "train_batch_size": optim.batch,
        "train_micro_batch_size_per_gpu": micro // world,
        "gradient_accumulation_steps": optim.batch // micro,
        "gradient_clipping": optim.clip,
        "zero_optimization": {"stage": engine.zero},
        "zero_allow_untested_optimizer": True,
        "steps_per_print": 2**31,
    }


def autocast(config: EngineConfig) -> torch.autocast:
    """Return the context of forward passes and losses: bf16 where asked; weights, sums and updates stay fp32."""
    half = config.precision == "bf16" or (config.precision == "auto" and torch.cuda.is_available())
    return torch.autocast(distributed.device().type, torch.bfloat16, enabled=half)


def make_optimizer(config: OptimConfig, model: nn.Module) -> torch.optim.Optimizer:
    """Make the optimizer of the trainable parameters."""
    kind = torch.optim.AdamW if config.name == "adamw" else torch.optim.Adam
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return kind(parameters, lr=config.lr, weight_decay=config.weight_decay)


class _CheckpointFiles(TorchCheckpointEngine):  # type: ignore[misc]
    """DeepSpeed's own files, read without running what they hold."""

    def load(self, path: str, map_location: Any = None) -> Any:
        """Read a file of tensors, plain values, and the three kinds of DeepSpeed's that its optimizers save."""
        with torch.serialization.safe_globals([LossScaler, ZeroStageEnum, fragment_address]):
            return torch.load(path, map_location, weights_only=True)


class Engine:
    """A model in training. Everything here is collective."""

    def __init__(self, model: nn.Module, engine: EngineConfig, optim: OptimConfig) -> None:
        self.model = model
        self._finite = torch.zeros((), device=distributed.device())
        self._hooks = [p.register_hook(self._watch) for p in model.parameters() if p.requires_grad]  # type: ignore[no-untyped-call]
        self._engine, *_ = deepspeed.initialize(
            model=model,
            optimizer=make_optimizer(optim, model),
            config=deepspeed_json(engine, optim, distributed.world_size()),
        )
        self._engine.checkpoint_engine = _CheckpointFiles(self._engine._config)

    def __call__(self, *inputs: Any) -> Any:
        """Run the model."""
        return self._engine(*inputs)

    def set_rate(self, rate: float) -> None:
        """Set the learning rate of the next step."""
        for group in self._engine.optimizer.param_groups:
            group["lr"] = rate

    def backward(self, loss: Tensor) -> None:
        """Add the micro-batch's gradients."""
        self._finite += loss.detach() * 0
        self._engine.backward(loss)

    def finite(self) -> bool:
        """Tell, before the step, whether every loss and gradient of the update was finite on every rank."""
        verdict = distributed.sum_over_ranks(self._finite).isfinite().item()
        self._finite.zero_()
        return bool(verdict)

    def step(self) -> None:
        """Move the weights, if this was the update's last micro-batch."""
        self._engine.step()

    def save(self, folder: Path) -> None:
        """Save weights and optimizer into `folder`."""
        self._engine.save_checkpoint(str(folder), tag="engine", save_latest=False)

    def load(self, folder: Path) -> None:
        """Load what `save` wrote, on as many ranks; InputError where it does not fit."""
        try:
            self._engine.load_checkpoint(str(folder), tag="engine")
        except Exception as error:
            reason = str(error).partition("\n")[0] or type(error).__name__
            raise InputError(
                f"{folder} cannot be read ({reason}): remove it to go on from an older checkpoint"
            ) from error

    def close(self) -> None:
        """Let go of the optimizer and the gradients, and leave the model."""
        for hook in self._hooks:
            hook.remove()
        self._engine.destroy()
        del self._engine
        gc.collect()

    def _watch(self, gradient: Tensor) -> None:
        # x * 0 is 0 for finite x and NaN else; summed, it keeps one number and never asks the device.
        self._finite += (gradient.detach() * 0).sum().to(self._finite.dtype)
