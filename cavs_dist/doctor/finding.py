"""What one check found, and the check itself: a name, a time limit and a function."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Verdict = Literal["ok", "warning", "failed"]


@dataclass(frozen=True)
class Finding:
    """What a check found. advice: what to do; empty where there is nothing to do."""

    verdict: Verdict
    found: str
    advice: str = ""


@dataclass(frozen=True)
class Check:
    """One line of the doctor's table. limit: seconds after which it counts as stuck. look: what finds it out."""

    name: str
    limit: float
    look: Callable[[], Finding]


@dataclass(frozen=True)
class Examined:
    """A check's name, what it found, and the seconds that it took."""

    name: str
    finding: Finding
    seconds: float
