"""Two runs on the same mixtures: how much better one of them is, and whether chance alone could have done it."""

import math
from collections.abc import Mapping
from itertools import combinations
from typing import Any, NamedTuple

from cavs_dist.metrics.bootstrap import interval_of_mean
from cavs_dist.report.separation.evaluation import SeparationRun, StageResult

EQUAL = 1e-3  # dB: floors of the same mixture, computed on two machines


class Difference(NamedTuple):
    """SDR of one run minus that of another after their last stages, dB: its mean over `mixtures` and 95 % interval."""

    mean: float
    low: float
    high: float
    mixtures: int


def differences(runs: Mapping[str, SeparationRun]) -> dict[tuple[str, str], Difference | None]:
    """Compare every two evaluated runs, the better one named first; None where they judged different mixtures."""
    found: dict[tuple[str, str], Difference | None] = {}
    for one, other in combinations([name for name, run in runs.items() if run.stages], 2):
        ours, theirs = runs[one].stages[-1], runs[other].stages[-1]
        if not ours.record["mixtures"] or not same_mixtures(ours, theirs):
            found[one, other] = None
            continue
        difference = _difference(ours, theirs)
        if difference.mean >= 0:
            found[one, other] = difference
        else:
            found[other, one] = _difference(theirs, ours)
    return found


def same_mixtures(one: StageResult, other: StageResult) -> bool:
    """Say whether two stages were judged by one list: the same classes in the same order, and equal floors."""
    ours, theirs = one.record["mixtures"], other.record["mixtures"]
    return len(ours) == len(theirs) and all(
        _names(one, mine) == _names(other, yours)
        and all(math.isclose(a, b, abs_tol=EQUAL) for a, b in zip(mine["floor"], yours["floor"], strict=True))
        for mine, yours in zip(ours, theirs, strict=True)
    )


def in_words(better: str, other: str, difference: Difference | None) -> str:
    """Say what the difference means."""
    if difference is None:
        return f"{better} and {other} were not judged on the same mixtures, so they are not compared pair by pair."
    mean, low, high = (f"{value:.2f}".replace("-", "−") for value in difference[:3])
    where = f"on the same {difference.mixtures} mixtures (95 % interval {low} to {high})"
    if difference.low > 0:
        return f"{better} separates better than {other}: by {mean} dB SDR {where}."
    return f"{better} and {other} cannot be told apart: {better} is {mean} dB SDR higher {where}; it may be chance."


def _difference(one: StageResult, other: StageResult) -> Difference:
    pairs = zip(one.record["mixtures"], other.record["mixtures"], strict=True)
    gaps = [(sum(mine["sdr"]) - sum(yours["sdr"])) / 2 for mine, yours in pairs]
    return Difference(sum(gaps) / len(gaps), *interval_of_mean(gaps), len(gaps))


def _names(stage: StageResult, mixture: Mapping[str, Any]) -> list[str]:
    return [stage.classes[position] for position in mixture["classes"]]
