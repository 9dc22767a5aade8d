"""DeepSpeed's files: on their disk when they are written, read without running what they hold."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from cavs_dist.errors import InputError
from cavs_dist.files import writing

if not torch.cuda.is_available():
    os.environ.setdefault("DS_ACCELERATOR", "cpu")  # DeepSpeed reads it when it is imported

from deepspeed.runtime.checkpoint_engine import TorchCheckpointEngine
from deepspeed.runtime.fp16.loss_scaler import LossScaler
from deepspeed.runtime.zero.config import ZeroStageEnum
from deepspeed.utils.tensor_fragment import fragment_address

FILES = "engine"  # the folder of DeepSpeed's files, within a checkpoint's
WEIGHTS_ONLY = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"


@contextmanager
def plain_link(folder: Path) -> Iterator[Path]:
    """Yield a link to `folder` by a plain path: DeepSpeed takes a path for a pattern, and `[a+b]` is one."""
    with TemporaryDirectory() as plain:
        link = Path(plain, "link")
        link.symlink_to(folder.resolve())
        yield link


@contextmanager
def running_nothing() -> Iterator[None]:
    """Have every `torch.load` read tensors, plain values and three kinds of DeepSpeed's, and run nothing.

    DeepSpeed's own calls ask for the opposite; torch's variable overrules them.
    """
    before = os.environ.get(WEIGHTS_ONLY)
    os.environ[WEIGHTS_ONLY] = "1"
    try:
        with torch.serialization.safe_globals([LossScaler, ZeroStageEnum, fragment_address]):
            yield
    finally:
        os.environ.pop(WEIGHTS_ONLY)
        if before is not None:
            os.environ[WEIGHTS_ONLY] = before


@contextmanager
def reading(checkpoint: Path) -> Iterator[Path]:
    """Read a checkpoint's files by the link that is yielded, running nothing.

    InputError naming the checkpoint where they cannot be read or do not fit.
    """
    try:
        with running_nothing(), plain_link(checkpoint) as link:
            yield link
    except InputError:
        raise
    except Exception as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise InputError(
            f"{checkpoint} cannot be read ({reason}): remove it to go on from an older checkpoint"
        ) from error


class FilesOnDisk(TorchCheckpointEngine):  # type: ignore[misc]
    """DeepSpeed's files of one checkpoint, on this rank's disk when `save` returns.

    written: what this rank wrote. problem: why it could not; kept, since the other ranks wait for this one meanwhile.
    """

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.written: list[Path] = []
        self.problem = ""

    def save(self, state_dict: Any, path: str) -> None:
        """Write a file through to its disk."""
        try:
            # A file of ours: torch's own hides the operating system's reason.
            with writing(Path(path)), Path(path).open("wb") as file:
                torch.save(state_dict, file)
                file.flush()
                os.fsync(file.fileno())
            self.written.append(Path(path))
        except InputError as error:
            self.problem = str(error)
