"""The files of a run: where each lies, written whole or not at all, by one live process at a time."""

import fcntl
import json
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from cavs_dist import __version__, distributed
from cavs_dist.config import Run, as_tree, read_config, to_yaml
from cavs_dist.errors import InputError
from cavs_dist.files import whole, writing

FORMAT = 1
# What may differ when a run goes on: it changes where and how fast, not what is computed; what a run that met no
# number that is not finite does with one is not computed yet.
FREE = (
    "out",
    "engine",
    "data.path",
    "data.remote",
    "data.workers",
    "memory.cache",
    "train.checkpoint",
    "track",
    "slurm",
    "train.on_nonfinite",
    "train.nonfinite_budget",
)


class NewerFormat(InputError):
    """A file of a format that this version does not know yet."""


class RunFolder:
    """The folder of one run. Products are named by stage; a product that exists is whole."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.memory = path / "memory"
        self.checkpoints = path / "checkpoints"

    def stage(self, stage: int) -> Path:
        """Return the folder of a stage's products."""
        return self.path / "stages" / str(stage)

    def product(self, stage: int, name: str) -> Path:
        """Return the path of a stage's product."""
        return self.stage(stage) / name

    def has_learned(self) -> bool:
        """Tell whether there are weights in the folder; until then, its config may be mended."""
        return any(self.path.glob("stages/*/*.safetensors")) or any(self.checkpoints.glob("[0-9]*"))

    def data(self) -> str:
        """Return the digest of the shards that the run learned from."""
        return str(read_json(self.path / "data.json").get("digest"))

    @contextmanager
    def claimed(self, run: Run, data: str) -> Iterator[None]:
        """Hold the folder for this run, of the shards with digest `data`.

        InputError if another process holds it, or a run of another config or other shards. Collective.
        """
        lock = None
        try:
            with distributed.together():
                lock = self._claim(run, data) if distributed.is_first() else None
            yield
        finally:
            if lock is not None:
                os.close(lock)

    def _claim(self, run: Run, data: str) -> int:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
        except OSError as error:
            raise InputError(
                f"the run folder {self.path} cannot be written: {error.strerror}; make it writable or choose another "
                "out=..."
            ) from error
        try:
            # Not flock: that one is inherited by the workers that read clips, which outlive a kill -9 by seconds.
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = (self.path / "lock").read_text() or "another process"
            raise InputError(f"{self.path} is in use by {holder}: wait for it or choose another out=...") from None
        with writing(self.path / "lock"):
            os.ftruncate(lock, 0)
            os.pwrite(lock, f"process {os.getpid()} on {platform.node()}".encode(), 0)
        config = self.path / "config.yaml"
        if self.has_learned():
            refuse_other_config(read_config(config), as_tree(run), self.path)
            if self.data() != data:
                raise InputError(
                    f"{self.path} learned from other shards than {run.data.path} holds now: "
                    "bring those back, or choose another out=..."
                )
        write_json(self.path / "data.json", {"digest": data})
        write_text(config, to_yaml(run))
        write_text(self.path / "environment.json", json.dumps(environment(), indent=1))
        return lock


def refuse_other_config(old: Any, new: Any, folder: Path) -> None:
    """Raise InputError listing what differs between a folder's config and this one's, beyond what may."""
    before, after = flatten(old), flatten(new)
    changed = [
        f"{key}: {before.get(key)!r} there, {after.get(key)!r} now"
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key) and not key.startswith(FREE)
    ]
    if changed:
        raise InputError(f"{folder} holds a run of another config ({'; '.join(changed)}): choose another out=...")


def flatten(tree: Any, prefix: str = "") -> dict[str, Any]:
    """Turn nested sections into `section.key` entries."""
    if not isinstance(tree, dict):
        return {prefix: tree}
    return {
        name: value
        for key, child in tree.items()
        for name, value in flatten(child, f"{prefix}.{key}" if prefix else str(key)).items()
    }


def environment() -> dict[str, Any]:
    """Describe what computes: versions, ranks, threads; no paths, no arguments, no secrets."""
    return {
        "cavs_dist": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "deepspeed": version("deepspeed"),
        "platform": sys.platform,
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "ranks": distributed.world_size(),
        "threads": torch.get_num_threads(),
    }


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    with whole(path) as beside:
        beside.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write a value as JSON, whole or not at all; by rank 0."""
    if distributed.is_first():
        write_text(path, json.dumps({"format": FORMAT, **value}, allow_nan=False))


def read_json(path: Path) -> Any:
    """Read what `write_json` wrote; InputError where it is damaged or newer than this version."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        newer = value["format"] > FORMAT
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} cannot be read ({error}): was it edited or cut short?") from error
    if newer:
        raise NewerFormat(f"{path} has format {value['format']}; this version reads up to {FORMAT}: upgrade it")
    return value


def write_state(path: Path, state: dict[str, Any]) -> None:
    """Write tensors and plain values, whole or not at all; by rank 0, and all wait. Collective."""
    with distributed.together():
        if distributed.is_first():
            # Through a file of ours: torch's own hides the operating system's reason.
            with whole(path) as beside, beside.open("wb") as file:
                torch.save(state, file)


def read_state(path: Path) -> dict[str, Any]:
    """Read what `write_state` wrote, to the CPU, running nothing; InputError where it is damaged."""
    try:
        state: dict[str, Any] = torch.load(path, "cpu", weights_only=True)
    except Exception as error:
        raise InputError(
            f"{path} cannot be read: was it edited or cut short? Remove it to have it made again"
        ) from error
    return state


def write_weights(path: Path, model: nn.Module) -> None:
    """Write a model's weights as safetensors, whole or not at all; by rank 0."""
    if distributed.is_first():
        with whole(path) as beside:
            save_file({name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}, beside)


def load_weights(path: Path, model: nn.Module) -> None:
    """Load a model's own weights; InputError where they do not fit."""
    try:
        model.load_state_dict(load_file(path))
    except Exception as error:
        raise InputError(f"{path} does not hold this model's weights: {str(error).splitlines()[0]}") from error
