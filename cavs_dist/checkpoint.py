"""Checkpoints within a fit: weights, optimizer and position, written beside, synced, renamed."""

import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from cavs_dist import distributed
from cavs_dist.engine import Engine
from cavs_dist.errors import InputError
from cavs_dist.run_folder import read_json, sync, write_json

MARKER = "position.json"


@dataclass(frozen=True)
class Position:
    """Where a fit stands.

    update: the next one to make, within the fit. world, zero: the ranks and the ZeRO stage that the optimizer's state
    is cut for. best: the best validation score so far. rehearsal: the collisions counted while training.
    """

    stage: int
    role: str
    update: int
    world: int
    zero: int
    best: float | None = None
    rehearsal: Mapping[str, Any] = field(default_factory=dict)


class Checkpoints:
    """The checkpoints of a run, the newest `keep` of them."""

    def __init__(self, folder: Path, keep: int) -> None:
        self.folder, self.keep = folder, keep

    def save(self, engine: Engine, position: Position, best: dict[str, Tensor] | None) -> None:
        """Write a checkpoint and remove old ones. Collective."""
        name = f"{position.stage:03d}-{position.role}-{position.update:08d}"
        beside = self.folder / f".{name}.tmp"
        if distributed.is_first():
            shutil.rmtree(beside, ignore_errors=True)
            beside.mkdir(parents=True)
        distributed.barrier()
        engine.save(beside)
        distributed.barrier()
        if distributed.is_first():
            if best is not None:
                save_file(best, beside / "best.safetensors")
            self._finish(beside, self.folder / name, position)
            self._prune()
        distributed.barrier()

    def newest(self, stage: int, role: str) -> tuple[Position, Path] | None:
        """Return the newest whole checkpoint of a fit and where it lies."""
        for path in sorted(self.folder.glob(f"{stage:03d}-{role}-*"), reverse=True):
            position = read_position(path)
            if position is not None:
                return position, path
        return None

    def newest_position(self) -> Position | None:
        """Return the position of the newest whole checkpoint, of whatever fit."""
        positions = [position for path in self.folder.glob("[0-9]*") if (position := read_position(path))]
        return max(positions, key=lambda position: (position.stage, position.role, position.update), default=None)

    def clear(self) -> None:
        """Remove all checkpoints, once their fit has a product; by rank 0."""
        if distributed.is_first():
            shutil.rmtree(self.folder, ignore_errors=True)

    def _finish(self, beside: Path, path: Path, position: Position) -> None:
        files = [file for file in sorted(beside.rglob("*")) if file.is_file()]
        for file in files:
            sync(file)
        sizes = {str(file.relative_to(beside)): file.stat().st_size for file in files}
        write_json(beside / MARKER, {"position": asdict(position), "files": sizes})
        shutil.rmtree(path, ignore_errors=True)
        beside.rename(path)

    def _prune(self) -> None:
        whole = sorted(path for path in self.folder.iterdir() if not path.name.startswith("."))
        for path in whole[: -self.keep]:
            shutil.rmtree(path, ignore_errors=True)


def read_position(path: Path) -> Position | None:
    """Return the position of a checkpoint, None if it is not whole."""
    try:
        record: Any = read_json(path / MARKER)
        sizes = {path / name: size for name, size in record["files"].items()}
        whole = all(file.is_file() and file.stat().st_size == size for file, size in sizes.items())
        return Position(**record["position"]) if whole else None
    except (InputError, KeyError, TypeError, AttributeError):
        return None


def read_best(path: Path) -> dict[str, Tensor] | None:
    """Return the best weights that a checkpoint holds, if any."""
    file = path / "best.safetensors"
    if not file.exists():
        return None
    try:
        return load_file(file)
    except (SafetensorError, OSError) as error:
        raise InputError(f"{file} is damaged ({error}): remove {path} to go on from an older checkpoint") from error
