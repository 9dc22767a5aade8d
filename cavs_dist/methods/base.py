"""What a continual-learning method is: three verbs and a few facts about itself."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Literal

from torch import Tensor, nn
from typing_extensions import TypeVar

from cavs_dist.curriculum import Stage

BatchT = TypeVar("BatchT", default=Any)
OutputsT = TypeVar("OutputsT", default=Any)
PlainLoss = Callable[[Any, Any], dict[str, Tensor]]  # of a batch and the model's outputs: a task's own loss


@dataclass(frozen=True)
class MethodConfig:
    """What every method's own section starts with."""

    name: str


class Method(Generic[BatchT, OutputsT]):
    """A continual-learning algorithm. The trainer calls `begin`, then `loss` for each batch, then `end`, every stage.

    Facts the trainer reads: `teacher`, whether the frozen copy from the previous stage is wanted; `head`, how the
    rows of new classes start; `scope`, whether a stage trains on its own clips or on those of all classes seen;
    `restart`, whether the model starts anew at every stage.
    """

    Config: ClassVar[type[MethodConfig]] = MethodConfig
    teacher: ClassVar[bool] = True
    head: ClassVar[Literal["random", "background"]] = "random"
    scope: ClassVar[Literal["stage", "seen"]] = "stage"
    restart: ClassVar[bool] = False

    def __init__(self, config: MethodConfig, plain: PlainLoss) -> None:
        """plain: the task's own loss, with nothing against forgetting."""
        self.config, self.plain = config, plain

    def begin(self, stage: Stage, model: nn.Module, clips: Iterable[tuple[BatchT, OutputsT]]) -> None:
        """Prepare for `stage`. Collective.

        `clips` yields, once, this rank's part of the stage's own training clips (no memory, no augmentation) with the
        teacher's outputs for them; it is empty at stage 0.
        """

    def loss(self, batch: BatchT, outputs: OutputsT, teacher: OutputsT | None) -> dict[str, Tensor]:
        """Return the named terms whose sum is minimised; `teacher` is None at stage 0."""
        raise NotImplementedError

    def end(self, stage: Stage, model: nn.Module, clips: Iterable[BatchT]) -> None:
        """Close `stage`, with the kept weights in `model`, which a method may still change after stage 0. Collective.

        `clips` yields, once, this rank's part of the stage's own training clips (no memory, no augmentation).
        """

    def state_dict(self) -> Mapping[str, Any]:
        """Return what `begin` and `end` computed, as tensors and plain values."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any], model: nn.Module) -> None:
        """Take back what `state_dict` returned. `model` is what trains next, until `end`."""
