"""What a run needs and how fast it would be on many GPUs, worked out before any of them is asked for."""

import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from cavs_dist.config import Run, load_run
from cavs_dist.errors import InputError
from cavs_dist.scaling.made_up import made_up_setting
from cavs_dist.scaling.measure import measure_rates
from cavs_dist.scaling.outlook import look_ahead
from cavs_dist.scaling.rates import read_rates, split_overrides
from cavs_dist.scaling.text import print_outlook
from cavs_dist.setting import Setting, open_setting

MOST = 10_000_000


def plan(
    config: str, overrides: Sequence[str], gpus: str, clips: str, rates: Path | None,
    measure: bool, weak: bool, as_json: bool, console: Console,
) -> None:  # fmt: skip
    """Print what a run needs on each of the numbers of `gpus`, as text or as one JSON object. Trains nothing.

    clips: of each stage, for want of data. Raises InputError for what the run would refuse, and for numbers that are
    none.
    """
    ours, of_rates = split_overrides(overrides)
    numbers, counts = read_numbers(gpus, "--gpus"), read_numbers(clips, "--clips") if clips else ()
    known = read_rates(rates, of_rates, {})
    run = load_run(config, ["data.path=none", *ours] if counts else ours)
    if measure and counts:
        raise InputError("--measure trains on the run's own clips, and --clips says that there are none: give one")
    setting = made_up_setting(run, counts, known.rates) if counts else _open(run)
    if measure:
        known = read_rates(rates, of_rates, measure_rates(setting))
    outlook = look_ahead(setting, known, numbers, weak)
    if as_json:
        print(json.dumps(outlook.as_tree()))
    else:
        print_outlook(outlook, setting, console)


def read_numbers(text: str, option: str) -> tuple[int, ...]:
    """Read numbers from 1 on, between commas."""
    parts = text.split(",")
    if not all(part.strip().isascii() and part.strip().isdigit() and 0 < int(part) <= MOST for part in parts):
        raise InputError(f"{option} is {text!r}; expected numbers from 1 to {MOST} between commas, such as 1,8,64")
    return tuple(int(part) for part in parts)


def _open(run: Run) -> Setting:
    if "://" not in run.data.path and not Path(run.data.path).is_dir():
        raise InputError(
            f"data.path={run.data.path} is no folder: give that of the shards, or, before there are any, the training "
            "clips of each stage as --clips 7392,1764"
        )
    return open_setting(run)
