"""What each run is called."""

from collections import Counter
from collections.abc import Sequence
from typing import TypeVar

from cavs_dist.errors import InputError
from cavs_dist.report.read import Run

RESERVED = "seconds"
RunT = TypeVar("RunT", bound=Run)


def named_runs(runs: Sequence[RunT]) -> dict[str, RunT]:
    """Name each run by its method; runs of the same method by their folders."""
    folders = [run.folder.resolve() for run in runs]
    if len(set(folders)) < len(folders):
        raise InputError("the same run folder was given twice; name every run once")
    names = [run.method for run in runs]
    for fallback in ([folder.name for folder in folders], [str(folder) for folder in folders]):
        uses = Counter([RESERVED, *names])
        names = [name if uses[name] == 1 else other for name, other in zip(names, fallback, strict=True)]
    return dict(zip(names, runs, strict=True))
