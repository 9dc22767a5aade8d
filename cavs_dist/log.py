"""A file of JSON lines that grows with the updates, and is cut when a run goes on from an earlier one."""

import itertools
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cavs_dist.files import writing


class Log:
    """An open log. A line is in the file when `write` returns, though a crash of the machine may still take it."""

    def __init__(self, path: Path, resume_update: int | None) -> None:
        """Open the log, cut after `resume_update`, the last update that the restored state knows (None: start anew)."""
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        cut_after(path, resume_update)
        self._last = path.read_text(encoding="utf-8").rpartition("\n")[0].rpartition("\n")[2]
        self._file = path.open("a", encoding="utf-8")

    def write(self, values: Mapping[str, Any]) -> bool:
        """Write one line now, and tell whether it is new.

        A line that is the file's last already is not written again: a crash came between it and what it tells of.
        InputError where the disk does not take it.
        """
        line = json.dumps(values, allow_nan=False)
        if line == self._last:
            return False
        self._last = line
        with writing(self._path):
            self._file.write(line + "\n")
            self._file.flush()
        return True

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def cut_after(path: Path, update: int | None) -> None:
    """Keep the lines of `path` until one of a later update, or a torn one (None: keep nothing)."""
    text = path.read_text(encoding="utf-8", errors="replace") if update is not None and path.exists() else ""
    last = update or 0
    kept = itertools.takewhile(lambda line: line.endswith("\n") and _update_of(line) <= last, text.splitlines(True))
    new = path.with_name(path.name + ".new")
    new.write_text("".join(kept), encoding="utf-8")
    new.replace(path)


def _update_of(line: str) -> float:
    """Return a line's update; minus infinity for a line without one, infinity for one that is no JSON object."""
    try:
        return float(json.loads(line).get("update", -math.inf))
    except (ValueError, AttributeError, TypeError):
        return math.inf
