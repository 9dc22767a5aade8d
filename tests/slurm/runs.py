"""Runs that are submitted: what tests call, and what a run folder holds after its jobs."""

from collections.abc import Callable
from pathlib import Path

from cavs_dist.cluster.record import read_jobs

Submit = Callable[..., list[str]]
Trains = Callable[[str, Path], None]
# Updates enough to interrupt them.
LONG = ("train.epochs=4", "train.checkpoint_every=2")


def weights(folder: Path) -> dict[str, bytes]:
    """Return the bytes of all weights that a run kept, by their names."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.glob("stages/*/*.safetensors")}


def endings(folder: Path) -> list[str]:
    """Return how the starts of a run's jobs ended, in their order; empty for one that was cut off."""
    return [start.end.ending if start.end else "" for job in read_jobs(folder) for start in job.starts]


def said(folder: Path) -> str:
    """Return the ends of what jobs said, for a test that fails."""
    return "\n".join(path.read_text(errors="replace")[-4000:] for path in folder.glob("slurm/*.log"))
