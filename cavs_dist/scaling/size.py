"""How large a model is, and what a slot costs it: worked out on the meta device, where nothing is allocated."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from cavs_dist.models.norm import SyncNorm
from cavs_dist.setting import Setting


@dataclass(frozen=True)
class Size:
    """A model at its size after the last stage.

    parts: parameters of each part, buffers left out. trained: how many parameters are. held: bytes of all parameters
    and buffers, and of the teacher's (0 without one). saved: bytes that autograd keeps of a slot for the backward pass
    of the task's own loss, in float32. flop: of a slot, forward and backward and the teacher's forward. norms: channels
    of each norm whose statistics are summed over ranks.
    """

    parts: Mapping[str, int]
    trained: int
    held: int
    teacher: int
    saved: int
    flop: int
    norms: tuple[int, ...]

    @property
    def parameters(self) -> int:
        """All parameters, frozen ones included."""
        return sum(self.parts.values())


def measure_size(setting: Setting) -> Size:
    """Build the last stage's model on the meta device, and pass a slot through it.

    The teacher, which lacks the last stage's classes, is taken to be as large.
    """
    taught = setting.method.teacher and len(setting.stages) > 1
    with torch.device("meta"):
        model = setting.fresh_model("main", setting.stages[-1])
        batch = setting.task.blank(setting.run.data, setting.run.data.frames or setting.train.frames, 1)
        saved, flop = pass_through(setting, model, batch, taught)
    held = sum(tensor.nbytes for tensor in (*model.parameters(), *model.buffers()))
    return Size(
        parts={name: count for name, part in model.named_children() if (count := _count(part.parameters()))},
        trained=_count(parameter for parameter in model.parameters() if parameter.requires_grad),
        held=held,
        teacher=held if taught else 0,
        saved=saved,
        flop=flop,
        norms=tuple(len(part.weight) for part in model.modules() if isinstance(part, SyncNorm) and not part.frozen),
    )


def pass_through(setting: Setting, model: nn.Module, batch: Any, taught: bool) -> tuple[int, int]:
    """Return the bytes that autograd keeps, parameters left out, and the FLOP of a batch's forward and backward.

    taught: count a teacher's forward too.
    """
    kept: dict[int, Tensor] = {}
    own = {tensor.untyped_storage()._cdata for tensor in (*model.parameters(), *model.buffers())}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage()._cdata] = tensor  # the tensor too, so that its storage's address stays its own
        return tensor

    with FlopCounter() as counter:  # type: ignore[no-untyped-call]
        if taught:
            with torch.no_grad():
                model.eval()(batch)
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            terms = setting.task.loss(batch, model.train()(batch))
        saved = sum(tensor.untyped_storage().nbytes() for place, tensor in kept.items() if place not in own)
        torch.stack([term.float() for term in terms.values()]).sum().backward()  # type: ignore[no-untyped-call]
    return saved, counter.flop


class FlopCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up what torch's own counter does, which asks every other operation for its parts and takes twice as long."""

    flop = 0

    def __torch_dispatch__(
        self, operation: Any, types: Any, arguments: tuple[Any, ...] = (), options: Any = None
    ) -> Any:
        found = operation(*arguments, **(options or {}))
        count = flop_registry.get(operation._overloadpacket)
        if count is not None:
            self.flop += count(*arguments, **(options or {}), out_val=found)
        return found


def _count(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() for tensor in tensors)
