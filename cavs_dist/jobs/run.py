"""What a run folder tells by itself, without SLURM."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

from cavs_dist.cluster import record
from cavs_dist.cluster.record import Job
from cavs_dist.jobs.files import count, read_object, read_settings, read_text, setting, shown
from cavs_dist.jobs.holder import Holder, holder
from cavs_dist.jobs.progress import Progress, read_progress

DEEPEST = 4  # folders below the given one in which runs are looked for


@dataclass(frozen=True)
class Run:
    """A run as its folder shows it.

    method, seed: of its config. word: what it left when it was asked to stop, and when that was (seconds since 1970).
    nonfinite: the last update whose loss was not finite and that ended the run, as a sentence. told: seconds since its
    log grew, None where there is none. jobs: what SLURM was asked for.
    """

    folder: Path
    method: str
    seed: str
    holder: Holder
    progress: Progress
    word: str
    word_at: float
    nonfinite: str
    told: float | None
    jobs: tuple[Job, ...]


def find_runs(folder: Path) -> list[Path]:
    """Return the run folders in `folder`, or itself, in the order of their names; nothing below a run is one."""
    found: list[Path] = []
    for place, names, _ in os.walk(folder):
        here = Path(place)
        if is_run(here):
            found.append(here)
        deep = len(here.relative_to(folder).parts) >= DEEPEST
        names[:] = [] if deep or is_run(here) else sorted(name for name in names if not name.startswith("."))
    return found


def is_run(folder: Path) -> bool:
    """Tell whether a folder is a run's, be it one that has only been submitted."""
    ran = (folder / "config.yaml").is_file() and (folder / "lock").is_file()
    return ran or (folder / record.FILE).is_file()


def read_run(folder: Path) -> Run:
    """Read a run folder; what is damaged reads as if it were not there."""
    settings = read_settings(folder / "config.yaml")
    word = folder / "stopped.txt"
    return Run(
        folder=folder,
        method=setting(settings, "method", "name"),
        seed=str(settings.get("seed") or "")[:20],
        holder=holder(folder),
        progress=read_progress(folder),
        word=shown(read_text(word)),
        word_at=_written(word) or 0.0,
        nonfinite="" if setting(settings, "train", "on_nonfinite") == "skip" else _nonfinite(folder),
        told=_ago(folder / "metrics.jsonl"),
        jobs=record.read_jobs(folder),
    )


def _nonfinite(folder: Path) -> str:
    """Return where a loss was not finite; empty where none was, or the run went on from there."""
    events = read_object(folder / "nonfinite.json").get("events")
    last = events[-1] if isinstance(events, list) and events else None
    if not isinstance(last, dict) or (_written(folder / "nonfinite.json") or 0) < (_written(folder / "lock") or 0):
        return ""
    place = f"stage {count(last, 'stage')}, {shown(str(last.get('role')), 20)}, update {count(last, 'update')}"
    return f"a loss or gradient was not finite at {place}: see nonfinite.json"


def _written(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except OSError:
        return None


def _ago(path: Path) -> float | None:
    written = _written(path)
    return None if written is None else max(0.0, time.time() - written)
