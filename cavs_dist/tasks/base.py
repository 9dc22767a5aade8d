"""What a task is: a model, the labels it learns, and how it is judged."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cavs_dist.curriculum import Stage
from cavs_dist.models.heads import HeadInit
from cavs_dist.outputs import Batch

LabelRole = Literal["train", "val", "test", "memory"]
ModelRole = Literal["main", "twin", "hearing_twin"]


@dataclass(frozen=True)
class TaskConfig:
    """The section `task`. name: a folder of `tasks/`, `segmentation`."""

    name: str = "segmentation"


class Task:
    """One of the two jobs. Stateless: everything it needs is in its configs and arguments."""

    ModelConfig: ClassVar[type[Any]]
    EvaluateConfig: ClassVar[type[Any]]

    def __init__(self, model: Any, evaluate: Any, seed: int) -> None:
        self.model, self.evaluate_config, self.seed = model, evaluate, seed

    def refuse_frames(self, frames: int) -> None:
        """Raise InputError where the model cannot take clips of so many frames."""
        raise NotImplementedError

    def make_model(self, role: ModelRole, stages: Sequence[Stage], init: HeadInit) -> nn.Module:
        """Build the model (or its twin) with a head for each of `stages`, the same on all ranks."""
        raise NotImplementedError

    def grow(self, model: nn.Module, stage: Stage, init: HeadInit) -> None:
        """Add the head of a new stage, the same on all ranks."""
        raise NotImplementedError

    def table(self, names: Mapping[int, str], stage: Stage, role: LabelRole) -> NDArray[Any]:
        """Return the lookup table from the data set's ids to labels."""
        raise NotImplementedError

    def mean_embedding(self, model: nn.Module, batches: Iterable[Batch]) -> Tensor:
        """Return the mean audio embedding over present frames of all ranks' batches. Collective."""
        raise NotImplementedError

    def silenced(self, model: nn.Module, batch: Batch, embedding: Tensor) -> Any:
        """Return the model's outputs where every frame sounds like `embedding`."""
        raise NotImplementedError

    def evaluate(self, model: nn.Module, batches: Iterable[Batch], stage: Stage) -> dict[str, Any]:
        """Judge the model on all ranks' batches together and return a record ready for JSON. Collective."""
        raise NotImplementedError

    def metrics(self, records: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
        """Summarise the records of stages 0 to s as the metrics after stage s."""
        raise NotImplementedError

    def validation_score(self, record: Mapping[str, Any]) -> float:
        """Return the number that `train.keep=best` maximises, of a record on validation clips."""
        raise NotImplementedError

    def save_examples(self, model: nn.Module, batch: Batch, path: Path) -> None:
        """Write what the model says of a few clips, beside the truth, for the report."""
        raise NotImplementedError


def evaluating(model: nn.Module) -> torch.inference_mode:
    """Put `model` in evaluation mode, and return the context in which to call it."""
    model.eval()
    return torch.inference_mode()
