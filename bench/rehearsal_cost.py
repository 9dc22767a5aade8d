"""What rehearsal adds to an update of the same number of clips. One JSON line at the end.

python bench/rehearsal_cost.py [--rounds 2] [--out runs/rehearsal_cost]     (6 minutes on 2 cores)

Trains stage 1 of the embedded benchmark from one shared stage 0, in turns: without memory, with a third of the slots
rehearsed, uniformly or by collisions; the loss is cross-entropy in all of them. And CMR with collisions counted before
the stage against CMR that counts them while it trains.
"""

import argparse
import json
import shutil
from dataclasses import replace
from pathlib import Path
from statistics import median

from cavs_dist.config import load_run
from cavs_dist.data.scenes import PRESETS, render_scenes
from cavs_dist.trainer import train

SHARED = [
    "curriculum.order=[bell, cow, train, violin]",
    "curriculum.split=2-2",
    "train.checkpoint_every=0",
    "train.epochs=1",
]
RATIO = ["memory.select=random", "memory.per_class=10", "rehearse.share=0.3333"]
WAYS = {
    "no_rehearsal": ["method.name=fine_tune", "memory.select=none", "rehearse.weight=uniform"],
    "uniform": ["method.name=replay", *RATIO, "rehearse.weight=uniform"],
    "collision": ["method.name=replay", *RATIO, "rehearse.weight=collision"],
    "exchange": ["method.name=replay", *RATIO, "rehearse.weight=uniform", "memory.payload=exchange"],
    "cmr": ["method.name=cmr", *RATIO, "rehearse.weight=collision"],
    "cmr_online": ["method.name=cmr", *RATIO, "rehearse.weight=collision", "rehearse.count=online"],
}
WARM = 10  # updates that are not counted: the first ones load and allocate


def seconds_an_update(run: Path) -> float:
    """Return the mean time of stage 1's updates after the first few."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    times = [line["seconds"] for line in lines if line.get("phase") == "main" and line["stage"] == 1]
    return float(times[-1] - times[WARM]) / (len(times) - 1 - WARM)


def learn(out: Path, name: str, overrides: list[str]) -> Path:
    """Train one way from the shared stage 0."""
    run = out / name
    shutil.rmtree(run, ignore_errors=True)
    everything = [f"out={run}", f"data.path={out / 'scenes'}", "track.every=1", *SHARED, *overrides]
    train(load_run("demo", everything))
    return run


def main() -> None:
    """Take turns, and compare medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("runs/rehearsal_cost"))
    options = parser.parse_args()
    render_scenes(options.out / "scenes", replace(PRESETS["scenes-8"], val=1, test=1))
    learn(options.out, "start", WAYS["no_rehearsal"])
    start = [f"train.start={options.out / 'start'}"]
    times: dict[str, list[float]] = {name: [] for name in WAYS}
    for _ in range(options.rounds):
        for name, overrides in WAYS.items():
            times[name].append(seconds_an_update(learn(options.out, name, [*overrides, *start])))
    found = {name: round(1000 * median(values), 2) for name, values in times.items()}
    for name, value in found.items():
        base = found["cmr" if name == "cmr_online" else "no_rehearsal"]
        print(f"{name:13} {value:7.2f} ms an update, {value / base - 1:+.1%}")
    print(json.dumps({"bench": "rehearsal_cost", "rounds": options.rounds, "milliseconds": found}))


if __name__ == "__main__":
    main()
