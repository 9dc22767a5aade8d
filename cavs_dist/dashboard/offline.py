"""What W&B has not got yet: the folders that `wandb sync` sends."""

import shlex
from pathlib import Path


def unsent(folder: Path, run_id: str, *, online: bool) -> list[Path]:
    """Return the folders of a W&B run below a run folder that are to be sent, the first first: each start made one.

    online: whether the last start's went online, and was ended before all was sent.
    """
    found = sorted(folder.glob(f"wandb/offline-run-*-{run_id}"))
    if online:
        found += sorted(folder.glob(f"wandb/run-*-{run_id}"))[-1:]
    return [path for path in found if not any(path.glob("*.synced"))]


def sync_command(folders: list[Path]) -> str:
    """Return the line for a shell that sends the folders."""
    online = any(path.name.startswith("run-") for path in folders)
    words = ["wandb", "sync", *(["--include-online"] if online else []), *(str(path.resolve()) for path in folders)]
    return shlex.join(words)
