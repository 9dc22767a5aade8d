"""The numbers of a report on separation, in dB with two decimals: one dictionary for files, one table."""

from collections.abc import Iterable, Mapping
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from cavs_dist.report.names import RESERVED
from cavs_dist.report.separation.compare import differences
from cavs_dist.report.separation.evaluation import SeparationRun, StageResult
from cavs_dist.tasks.separation.evaluate import SCORES, summarise

METRICS = (
    *("sdr", "sir", "sar", "first", "new", "forgetting", "average", "gain", "gain_low", "gain_high", "first_gain"),
    *("floor", "first_floor", "new_floor", "ceiling", "first_ceiling", "new_ceiling"),
)
COLUMNS = {
    "sdr": "SDR",
    "sir": "SIR",
    "sar": "SAR",
    "first": "first",
    "new": "later",
    "forgetting": "forgetting",
    "floor": "floor",
    "ceiling": "ceiling",
}


def make_summary(runs: Mapping[str, SeparationRun], seconds: float | None) -> dict[str, Any]:
    """Return each run's metrics after its last stage, its `stages`, and how it compares `against` others; `seconds`.

    To the metrics of the task it adds means over the first stage's classes and over later ones of `floor` and
    `ceiling`, and `first_gain`, of SDR minus floor. `against`: this run's SDR minus another's on the same mixtures.
    """
    summaries = {name: _metrics(run) for name, run in runs.items()}
    for (better, other), difference in differences(runs).items():
        if difference is not None:
            mean, low, high, mixtures = difference
            given = {"difference": mean, "low": low, "high": high, "mixtures": mixtures}
            taken = {"difference": -mean, "low": -high, "high": -low, "mixtures": mixtures}
            summaries[better]["against"][other] = _rounded(given)
            summaries[other]["against"][better] = _rounded(taken)
    return {**summaries, RESERVED: seconds}


def console_table(summary: Mapping[str, Any]) -> Table:
    """Make the terminal's table: how well each method separated after each stage, and what it had forgotten."""
    table = Table(
        title="Separation after each stage, dB",
        caption="first, later: SDR of the first stage's classes and of later ones; floor: the mixture's own SDR; "
        "ceiling: SDR of ratio masks",
        box=SIMPLE_HEAD,
        padding=0,
    )
    table.add_column("method", no_wrap=True)
    table.add_column("stage", justify="right", no_wrap=True)
    for title in COLUMNS.values():
        table.add_column(title, justify="right", no_wrap=True)
    for name, metrics in summary.items():
        if name != RESERVED:
            for stage in metrics["stages"] or [{"stage": 0, **dict.fromkeys(COLUMNS)}]:
                values = (as_text(stage[column]) for column in COLUMNS)
                table.add_row("" if stage["stage"] else name, str(stage["stage"]), *values)
            table.add_section()
    return table


def as_text(value: float | None) -> str:
    """Write dB with two decimals, or a dash where there is none."""
    return "–" if value is None else f"{value:.2f}".replace("-", "−")


def mean_of(values: Iterable[float | None]) -> float | None:
    """Return the mean of what is known, None if nothing is."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _metrics(run: SeparationRun) -> dict[str, Any]:
    stages = [_rounded(_after(run.stages[: number + 1])) for number in range(len(run.stages))]
    last = stages[-1] if stages else dict.fromkeys(METRICS)
    return {**{name: last[name] for name in METRICS}, "against": {}, "stages": stages}


def _after(history: tuple[StageResult, ...]) -> dict[str, Any]:
    """Return what is known after the last stage of `history`, which starts with stage 0."""
    last, num_first = history[-1].record, len(history[0].classes)
    metrics = summarise([stage.record for stage in history])
    if not last["mixtures"]:
        metrics |= {"gain_low": None, "gain_high": None}
    gains = [
        None if sdr is None or floor is None else sdr - floor
        for sdr, floor in zip(last["sdr"], last["floor"], strict=True)
    ]
    means = {
        f"{part}_{score}": mean_of(values)
        for score in ("floor", "ceiling")
        for part, values in (("first", last[score][:num_first]), ("new", last[score][num_first:]))
    }
    return {
        "stage": last["stage"],
        "classes": list(last["classes"]),
        "new_classes": list(last["new"]),
        "mixtures": len(last["mixtures"]),
        "left_out": last["left_out"],
        "flagged": last["flagged"],
        **metrics,
        **means,
        "first_gain": mean_of(gains[:num_first]),
        "by_class": {score: dict(zip(last["classes"], last[score], strict=True)) for score in SCORES},
    }


def _rounded(value: Any) -> Any:
    """Return a tree with every float at two decimals."""
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return round(value, 2) if isinstance(value, float) else value
