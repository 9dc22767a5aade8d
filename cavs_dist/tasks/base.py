"""What a task is: a model, what it learns from, and how it is judged."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal

import torch
from torch import Tensor, nn
from typing_extensions import TypeVar

from cavs_dist.curriculum import Stage
from cavs_dist.data.config import DataConfig
from cavs_dist.data.pairing import Pairing
from cavs_dist.data.shard import ClipEntry
from cavs_dist.data.transform import Transform
from cavs_dist.models.heads import HeadInit
from cavs_dist.track import Track

LabelRole = Literal["train", "val", "test", "memory"]
ModelRole = Literal["main", "twin", "hearing_twin"]
BatchT = TypeVar("BatchT", default=Any)
OutputsT = TypeVar("OutputsT", default=Any)


@dataclass(frozen=True)
class TaskConfig:
    """The section `task`. name: a folder of `tasks/`, `segmentation` or `separation`."""

    name: str = "segmentation"


class Task(ABC, Generic[BatchT, OutputsT]):
    """One of the two jobs. Stateless: everything it needs is in its configs and arguments.

    collides: whether its outputs have labels, in which old and new classes can collide (`rehearse.weight=collision`).
    """

    ModelConfig: ClassVar[type[Any]]
    EvaluateConfig: ClassVar[type[Any]]
    collides: ClassVar[bool] = False

    def __init__(self, model: Any, evaluate: Any, seed: int) -> None:
        self.model, self.evaluate_config, self.seed = model, evaluate, seed

    @abstractmethod
    def refuse_data(self, config: DataConfig, frames: int) -> None:
        """Raise InputError where the model cannot take clips of so many frames, or what is read of their sound."""

    @abstractmethod
    def refuse_clips(self, stage: Stage, clips: Sequence[ClipEntry]) -> None:
        """Raise InputError where a stage cannot be learned from its training clips."""

    @abstractmethod
    def make_model(self, role: ModelRole, stages: Sequence[Stage], init: HeadInit) -> nn.Module:
        """Build the model (or its twin) grown for each of `stages`, the same on all ranks."""

    @abstractmethod
    def grow(self, model: nn.Module, stage: Stage, init: HeadInit) -> None:
        """Add what a new stage's classes need, the same on all ranks."""

    @abstractmethod
    def transform(
        self, config: DataConfig, names: Mapping[int, str], stage: Stage, role: LabelRole, frames: int
    ) -> Transform:
        """Return what makes batches of a stage's clips. names: the data set's classes by id. frames: of a batch's clips
        at most."""

    @abstractmethod
    def blank(self, config: DataConfig, frames: int, slots: int) -> BatchT:
        """Return what training takes for `slots` slots of `frames` frames, all zeros: what sizes are worked out from.

        On torch's default device, so that nothing is allocated where that is `meta`.
        """

    def mixing(self, config: DataConfig, clips: Sequence[ClipEntry], stage: Stage) -> tuple[Pairing, Sequence[str]]:
        """Return how training clips are mixed two by two, if they are, and then the class of each."""
        return "none", ()

    def arrange(self, clips: Sequence[ClipEntry], stage: Stage, role: LabelRole) -> Sequence[ClipEntry]:
        """Return the clips in the order in which a pass without augmentation reads them."""
        return clips

    @abstractmethod
    def loss(self, batch: BatchT, outputs: OutputsT) -> dict[str, Tensor]:
        """Return the named terms of learning the batch as it is, with nothing against forgetting."""

    @abstractmethod
    def evaluate(self, model: nn.Module, batches: Iterable[BatchT], stage: Stage) -> dict[str, Any]:
        """Judge the model on all ranks' batches together and return a record ready for JSON. Collective."""

    @abstractmethod
    def metrics(self, records: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
        """Summarise the records of stages 0 to s as the metrics after stage s."""

    @abstractmethod
    def validate(self, model: nn.Module, batches: Iterable[BatchT], stage: Stage) -> float:
        """Return the number that `train.keep=best` maximises, on all ranks' validation clips. Collective."""

    @abstractmethod
    def gains(
        self, model: nn.Module, twin: nn.Module | None, read: Callable[[str], Iterable[BatchT]], stage: Stage
    ) -> Iterator[tuple[str, float]]:
        """Yield (key, Delta): what its second modality adds to each of this rank's clips. Collective.

        Delta compares the model with its twin, which lacks that modality, or, without a twin, with itself where it is
        replaced. `read(what)` begins a pass over the stage's clips, whose progress is called `what`.
        """

    @abstractmethod
    def features(self, model: nn.Module, batch: BatchT, stage: Stage) -> Iterator[tuple[str, str, Tensor]]:
        """Yield (class, key, feature [C] float64) of the clips of a batch: what herding takes means of."""

    @abstractmethod
    def examples(self, clips: Sequence[ClipEntry], stage: Stage) -> Sequence[ClipEntry]:
        """Choose a few test clips to look at, as a pass without augmentation reads them."""

    @abstractmethod
    def save_examples(self, model: nn.Module, batch: BatchT, path: Path) -> None:
        """Write what the model says of a few clips, beside the truth, for the report."""

    @abstractmethod
    def show(self, records: Sequence[Mapping[str, Any]], examples: Path, config: DataConfig, track: Track) -> None:
        """Show the stages' scores and the saved examples in the track."""


def evaluating(model: nn.Module) -> torch.inference_mode:
    """Put `model` in evaluation mode, and return the context in which to call it."""
    model.eval()
    return torch.inference_mode()
