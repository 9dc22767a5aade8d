"""DeepSpeed, behind five verbs: forward, backward, step, save, load. One process on a CPU is a run like any other."""

import gc
import logging
import math
import os
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch._C._distributed_c10d import HashStore

from cavs_dist import distributed, stop
from cavs_dist.engine_files import FILES, FilesOnDisk, reading
from cavs_dist.errors import InputError
from cavs_dist.files import writing
from cavs_dist.pulse import waiting

# After engine_files, which names the accelerator that DeepSpeed looks for when it is imported.
import deepspeed  # isort: skip
from deepspeed.runtime.zero.stage_1_and_2 import INITIAL_MICRO_STEP_ID  # isort: skip

LEAST_TIMEOUT = 120.0  # seconds


@dataclass(frozen=True)
class EngineConfig:
    """The section `engine`; DeepSpeed's own JSON is derived from it.

    zero: what is split over ranks: 0 nothing, 1 the optimizer's state, 2 and the gradients. precision: of the model's
    arithmetic, `auto` is bf16 on GPUs and fp32 on CPUs. micro_batch: clips over all ranks that go through the model at
    once, 0 for the whole update. threads: CPU threads of a rank, 0 leaves torch's choice. patience: seconds without a
    sign of life after which a rank counts as lost, and the others end; one that waits for others that move may wait
    three times as long.
    """

    zero: Literal[0, 1, 2] = 1
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    micro_batch: int = 0
    threads: int = 0
    patience: float = 600.0


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
    # The last resort, for what the watchdog does not see; also what ranks may be apart in their start.
    timeout = timedelta(seconds=max(LEAST_TIMEOUT, 3 * config.patience))
    deepspeed.init_distributed("nccl" if torch.cuda.is_available() else "gloo", verbose=False, timeout=timeout)
    deepspeed.utils.logger.addFilter(_is_news)


def _is_news(record: logging.LogRecord) -> bool:
    """Leave out what DeepSpeed says where a universal checkpoint is loaded: we never cut a tensor."""
    return not record.getMessage().startswith("MPU is not provided")


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


class Engine:
    """A model in training. Everything here is collective.

    zero: the ZeRO stage, by which the optimizer's state is cut. stopped_by: the signal that asked any rank to stop, as
    `finite` last found out; empty if none did. gradient_norm: of the last update's gradient, the mean over ranks and
    micro-batches, before it was clipped; on the device, 0 before the first.
    """

    stopped_by = ""

    def __init__(self, model: nn.Module, engine: EngineConfig, optim: OptimConfig) -> None:
        self.gradient_norm = torch.zeros((), device=distributed.device())
        self.model, self.zero = model, engine.zero
        self._finite = torch.zeros((), device=distributed.device())
        self._hooks = [p.register_hook(self._watch) for p in model.parameters() if p.requires_grad]  # type: ignore[no-untyped-call]
        with waiting():
            self._engine, *_ = deepspeed.initialize(
                model=model,
                optimizer=make_optimizer(optim, model),
                config=deepspeed_json(engine, optim, distributed.world_size()),
            )
        self._engine._copy_recovery_script = lambda folder: None  # a program, in a folder of which nothing is to run

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
        with waiting():
            self._engine.backward(loss)

    def finite(self) -> bool:
        """Tell, before the step, whether every loss and gradient of the update was finite on every rank."""
        asked = torch.tensor(stop.counts(), dtype=self._finite.dtype, device=self._finite.device)
        with waiting():
            finite, *sums = distributed.sum_over_ranks(torch.cat([self._finite[None], asked])).tolist()
        self._finite.zero_()
        self.stopped_by = stop.told(sums)
        return math.isfinite(finite)

    def step(self) -> None:
        """Move the weights, if this was the update's last micro-batch."""
        last = self._engine.is_gradient_accumulation_boundary()
        if last and not self.zero:
            # Every rank has the whole of it, and DeepSpeed keeps no norm.
            slopes = [p.grad for p in self.model.parameters() if p.grad is not None]
            self.gradient_norm = nn.utils.get_total_norm(slopes)
        with waiting():
            self._engine.step()
        if last and self.zero:
            self.gradient_norm = self._engine.get_global_grad_norm()

    def drop(self) -> None:
        """Forget the update's gradients, in the place of its last `step`: neither weights nor moments move."""
        if self.zero:
            # What DeepSpeed does itself where a gradient overflows; its own test would miss a loss.
            optimizer = self._engine.optimizer
            optimizer.zero_grad(set_to_none=True)
            optimizer._release_preflattened_grad_buffers()
            optimizer.micro_step_id = INITIAL_MICRO_STEP_ID
            for gradients in (optimizer.averaged_gradients, optimizer.all_grad_tensors):
                gradients.update(dict.fromkeys(gradients))
        else:
            self._engine.zero_grad()
        self._engine.micro_steps += 1

    def save(self, folder: Path) -> list[Path]:
        """Save weights and optimizer into `folder`, and return the files that this rank wrote, synced.

        InputError on all ranks where the disk of one does not take them.
        """
        files = self._engine.checkpoint_engine = FilesOnDisk(self._engine._config)
        with distributed.together():
            if distributed.is_first():
                with writing(folder):
                    (folder / FILES).mkdir(parents=True, exist_ok=True)
        with waiting():
            self._engine.save_checkpoint(str(folder), tag=FILES, save_latest=False)
        with distributed.together():
            if files.problem:
                raise InputError(files.problem)
        return files.written

    def load(self, folder: Path) -> None:
        """Load what `save` wrote, on as many ranks; InputError on all where it does not fit one."""
        with distributed.together(), reading(folder) as link, waiting():
            self._engine.load_checkpoint(str(link), tag=FILES)

    def load_universal(self, folder: Path) -> None:
        """Load what `universal.convert` made of a checkpoint, on any number of ranks."""
        state = torch.load(folder / FILES / "mp_rank_00_model_states.pt", "cpu", weights_only=True)
        self.model.load_state_dict(state["module"])  # DeepSpeed itself restores neither buffers nor frozen weights
        config = self._engine._config
        config.load_universal_checkpoint = True
        try:
            with waiting():
                self._engine.load_checkpoint(str(folder), tag=FILES)
        finally:
            config.load_universal_checkpoint = False

    def close(self) -> None:
        """Let go of the optimizer and the gradients, and leave the model as if it had been loaded.

        DeepSpeed makes its parameters parts of one tensor. Where a tensor lies in memory, products round by: what a
        run that goes on computes with the same weights would not be bit-equal.
        """
        for hook in self._hooks:
            hook.remove()
        self._engine.destroy()
        del self._engine
        for parameter in self.model.parameters():
            parameter.data = parameter.data.clone()
        gc.collect()

    def _watch(self, gradient: Tensor) -> None:
        # x * 0 is 0 for finite x and NaN else; summed, it keeps one number and never asks the device.
        self._finite += (gradient.detach() * 0).sum().to(self._finite.dtype)
