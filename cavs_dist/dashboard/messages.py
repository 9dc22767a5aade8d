"""What training tells its dashboard: plain values, sent from the one process to the other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

BEGUN = b"begun\n"  # what the process answers once its W&B run has begun; else, a line that says why not
Cell = float | int | str | None


@dataclass(frozen=True)
class Start:
    """Which W&B run this is. folder: below which W&B writes. patience: seconds it may take to begin."""

    folder: Path
    mode: Literal["offline", "online"]
    project: str
    name: str
    group: str
    job_type: str
    tags: tuple[str, ...]
    id: str
    config: Mapping[str, Any]
    patience: float


@dataclass(frozen=True)
class Row:
    """Numbers at an update."""

    update: int
    values: Mapping[str, float | int]


@dataclass(frozen=True)
class Table:
    """A table at an update."""

    update: int
    name: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]


@dataclass(frozen=True)
class Picture:
    """pixels: [H, W, 3] bytes. masks: name -> labels [H, W] bytes; label i is called labels[i]."""

    caption: str
    pixels: NDArray[np.uint8]
    masks: Mapping[str, NDArray[np.uint8]] = field(default_factory=dict)
    labels: Mapping[int, str] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes."""
        return self.pixels.nbytes + sum(mask.nbytes for mask in self.masks.values())


@dataclass(frozen=True)
class Sound:
    """samples: [L] from -1 to 1. rate: Hz."""

    caption: str
    samples: NDArray[np.float32]
    rate: int

    @property
    def size(self) -> int:
        """Bytes."""
        return self.samples.nbytes


@dataclass(frozen=True)
class Media:
    """Things to see or to hear at an update."""

    update: int
    name: str
    items: Sequence[Picture | Sound]

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(item.size for item in self.items)


@dataclass(frozen=True)
class Reference:
    """A file that stays where it is."""

    size: int
    sha256: str


@dataclass(frozen=True)
class Artifact:
    """Files that a run made, or used. kind: what they are. files: name in the artifact -> where it lies.

    references: name -> what is said of a file that is not sent. used: the run began from it.
    """

    name: str
    kind: Literal["weights", "shards"]
    files: Mapping[str, Path] = field(default_factory=dict)
    references: Mapping[str, Reference] = field(default_factory=dict)
    aliases: Sequence[str] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    used: bool = False


@dataclass(frozen=True)
class End:
    """The run ends with an exit code; it was told to stop and goes on later, if `preempted`. patience: seconds."""

    exit_code: int
    preempted: bool
    patience: float


Message = Row | Table | Media | Artifact | End
