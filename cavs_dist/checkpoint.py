"""Checkpoints within a fit: weights, optimizer and position, written beside, synced, renamed; read only if whole."""

import re
import shutil
import sys
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from cavs_dist import distributed
from cavs_dist.engine import Engine
from cavs_dist.engine_files import FILES
from cavs_dist.errors import InputError
from cavs_dist.files import sync, writing
from cavs_dist.seal import Damaged, Seal, fingerprints, flaw, read_seal, write_seal
from cavs_dist.universal import load_recut

BEST = "best.safetensors"
NAME = re.compile(r"(?P<stage>\d{3})-(?P<role>\w+)-(?P<update>\d{8})")


@dataclass(frozen=True)
class Position:
    """Where a fit stands.

    update: the next one to make, within the fit. world, zero: the ranks and the ZeRO stage that the optimizer's state
    is cut for. best: the best validation score so far. nonfinite: the updates left out so far. rehearsal: the
    collisions counted while training.
    """

    stage: int
    role: str
    update: int
    world: int
    zero: int
    best: float | None = None
    nonfinite: int = 0
    rehearsal: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name of its checkpoint's folder: by it the checkpoints of a fit sort."""
        return f"{self.stage:03d}-{self.role}-{self.update:08d}"


class Checkpoints:
    """The checkpoints of a run, of one fit at a time, the newest `keep` of them."""

    def __init__(self, folder: Path, keep: int) -> None:
        self.folder, self.keep = folder, keep
        self._examined: dict[str, Position | None] = {}  # by name; None is a damaged one
        self._start = ""
        self._warned = False

    def save(self, engine: Engine, position: Position, best: dict[str, Tensor] | None) -> None:
        """Write a checkpoint and remove old ones. Collective.

        InputError on all ranks where the disk does not take it; the checkpoints that are there stay.
        """
        beside = self._beside(position.name)
        try:
            if distributed.is_first():
                self._sweep()
            files = engine.save(beside)
            with distributed.together():
                if best is not None and distributed.is_first():
                    files.append(_write_best(best, beside / BEST))
            seal = Seal(asdict(position), fingerprints(beside, files))
            with distributed.together():
                if distributed.is_first():
                    self._finish(beside, position.name, seal)
        finally:
            if distributed.is_first():
                shutil.rmtree(beside, ignore_errors=True)
        self._examined[position.name] = position
        if distributed.is_first():
            self._prune(position)

    def newest(self, stage: int, role: str) -> tuple[Position, Path] | None:
        """Return the newest whole checkpoint of a fit and where it lies. Collective: all ranks get the same.

        A damaged one is named on stderr and passed over. InputError where there is no other, or one is newer than us.
        """
        names = [name for name in self._names() if name.startswith(f"{stage:03d}-{role}-")]
        for name in reversed(names):
            position = self._examine(name)
            if position is not None:
                return position, self.folder / name
        if names:
            raise InputError(
                f"no checkpoint of stage {stage}, {role}, is whole: to train this fit anew, remove "
                f"{', '.join(str(self.folder / name) for name in names)}"
            )
        return None

    def fits(self) -> list[tuple[int, str]]:
        """Return (stage, role) of all fits that have checkpoints here, in one order on all ranks. Collective."""
        found = [NAME.fullmatch(name) for name in self._names()]
        return sorted({(int(parts["stage"]), parts["role"]) for parts in found if parts})

    def load(self, engine: Engine, position: Position, path: Path) -> None:
        """Load a checkpoint's weights and optimizer state, cut anew for other ranks or ZeRO stage. Collective."""
        same_world = position.world == distributed.world_size()
        if position.zero == engine.zero and (same_world or not engine.zero):
            engine.load(path)
        elif position.zero and engine.zero:
            load_recut(engine, path, self._beside(path.name))
        else:
            raise InputError(
                f"{path} was written with engine.zero={position.zero}, this run has {engine.zero}: go on with "
                f"{position.zero} until the stage is trained, or remove {path} to go on from an older checkpoint"
            )

    def clear(self) -> None:
        """Remove all checkpoints but damaged ones, once their fit has a product; by rank 0."""
        if distributed.is_first():
            for path in self._listed():
                if not self._is_damaged(path):
                    self._remove(path)
            with suppress(OSError):  # it is not empty
                self.folder.rmdir()

    def _names(self) -> list[str]:
        """Return the checkpoints' names as rank 0 sees them, sorted. Collective."""
        names = sorted(path.name for path in self.folder.glob("[0-9]*")) if distributed.is_first() else []
        return [name for name in distributed.gather_objects(names)[0] if NAME.fullmatch(name)]

    def _examine(self, name: str) -> Position | None:
        """Return the position of a checkpoint, None if it is damaged, which is said once. Collective."""
        if name not in self._examined:
            seal, reason = self._read_seal(name)
            reason = reason or flaw(self.folder / name, seal.files)
            position = None if reason else self._position(name, seal)
            if position is not None and position.name != name:
                position, reason = None, "it has another checkpoint's name"
            if position is None and distributed.is_first():
                print(f"warning: {self.folder / name} is damaged and passed over: {reason}", file=sys.stderr)
            self._examined[name] = position
        return self._examined[name]

    def _position(self, name: str, seal: Seal) -> Position:
        try:
            return Position(**seal.position)
        except TypeError as error:
            raise InputError(f"{self.folder / name} is of another version of cavs_dist: go on with that one") from error

    def _read_seal(self, name: str) -> tuple[Seal, str]:
        """Return a checkpoint's seal and what is wrong with it, as rank 0 reads it. Collective."""
        seal, reason = Seal({}, {}), ""
        with distributed.together():
            if distributed.is_first():
                try:
                    seal = read_seal(self.folder / name)
                except Damaged as error:
                    reason = str(error)
        found: tuple[Seal, str] = distributed.gather_objects((seal, reason))[0]
        return found

    def _beside(self, name: str) -> Path:
        """Return where to work, another place at each start: an old rank may outlive a kill. Collective."""
        if not self._start:
            self._start = distributed.gather_objects(uuid.uuid4().hex[:8])[0]
        return self.folder / f".{name}.{self._start}.tmp"

    def _finish(self, beside: Path, name: str, seal: Seal) -> None:
        path = self.folder / name
        with writing(path):
            write_seal(beside, seal)
            sync(beside / FILES)
            sync(beside)
            if path.exists():  # a damaged one, or a fit would not come by it again
                path.rename(self.folder / f"damaged-{name}-{self._start}")
            beside.rename(path)
            sync(self.folder)

    def _prune(self, last: Position) -> None:
        """Remove what is not among the newest `keep` of the fit: older ones, and those of fits that have a product."""
        fit = last.name.removesuffix(f"{last.update:08d}")
        found = [path for path in self._listed() if NAME.fullmatch(path.name)]
        whole = [path for path in found if not self._is_damaged(path)]
        kept = [path for path in whole if path.name.startswith(fit)][-self.keep :]
        for path in whole:
            if path not in kept:
                self._remove(path)

    def _listed(self) -> list[Path]:
        """Return what is in the folder, sorted; nothing where it cannot be looked at."""
        try:
            return sorted(self.folder.iterdir())
        except OSError:
            return []

    def _remove(self, path: Path) -> None:
        """Remove a folder, hidden first: half of it is no checkpoint. The first that cannot be is worth a warning."""
        try:
            hidden = path if path.name.startswith(".") else path.rename(self.folder / f".{path.name}.old")
            shutil.rmtree(hidden)
        except OSError as error:
            if not self._warned:
                print(f"warning: an old checkpoint cannot be removed: {error}", file=sys.stderr)
            self._warned = True

    def _sweep(self) -> None:
        """Remove what earlier starts left unfinished."""
        for path in self.folder.glob(".*"):
            shutil.rmtree(path, ignore_errors=True)

    def _is_damaged(self, path: Path) -> bool:
        return path.name.startswith("damaged-") or self._examined.get(path.name, ...) is None


def _write_best(weights: dict[str, Tensor], path: Path) -> Path:
    with writing(path):
        save_file(weights, path)
        sync(path)
    return path


def read_best(path: Path) -> dict[str, Tensor] | None:
    """Return the best weights that a checkpoint holds, if any."""
    file = path / BEST
    if not file.exists():
        return None
    try:
        return load_file(file)
    except (SafetensorError, OSError) as error:
        raise InputError(f"{file} is damaged ({error}): remove {path} to go on from an older checkpoint") from error
