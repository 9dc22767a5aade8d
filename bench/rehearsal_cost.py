"""What rehearsal adds to an update of the same number of clips. One JSON line at the end.

python bench/rehearsal_cost.py [--rounds 12] [--out runs/rehearsal_cost]     (10 minutes on 2 cores)

Stage 1 of the embedded benchmark is trained from one shared stage 0 in six ways: without memory, with a third of the
slots rehearsed, uniformly, by collisions, or sent from rank to rank; the loss is cross-entropy in these. And CMR with
collisions counted before the stage, and while it trains. The machine's speed drifts by more than what is looked for, so
all six trainings are alive together and take turns of a few seconds, in an order that changes every round; while one
runs, the others and their readers are stopped (SIGSTOP). Training has one thread, so that the readers have a core of
their own. Printed are the median of each way's updates; the median and the middle half of its cost over its baseline in
a round; and the part that is not the model's: the mean time that an update waits for draws to be decided and clips to
be decoded. (Processes differ by a tenth for reasons of their own, so the last says more than the others.)
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from statistics import fmean, median, quantiles

from cavs_dist.data.scenes import PRESETS, render_scenes

SHARED = [
    "curriculum.order=[bell, cow, train, violin]",
    "curriculum.split=2-2",
    "train.checkpoint_every=0",
    "train.epochs=10",
    "track.every=1",
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
BASE = {name: "cmr" if name == "cmr_online" else "no_rehearsal" for name in WAYS}
TURN = 5.0  # seconds
WARM = 10  # updates before the first turn: they load and allocate


class Training:
    """One training in a process group of its own, which runs only in its turns."""

    def __init__(self, out: Path, overrides: list[str]) -> None:
        shutil.rmtree(out, ignore_errors=True)
        self.metrics = out / "metrics.jsonl"
        one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}
        with out.with_suffix(".log").open("w") as log:
            self.process = subprocess.Popen(
                command(out, overrides), stdout=log, stderr=log, env=one_thread, start_new_session=True
            )
        while len(self.times()) < WARM:
            if self.process.poll() is not None:
                sys.exit(f"{out.name} ended before its first turn: see {log.name}")
            time.sleep(0.2)
        self.send(signal.SIGSTOP)

    def send(self, what: signal.Signals) -> None:
        """Send a signal to the training and its readers."""
        os.killpg(self.process.pid, what)

    def times(self) -> list[tuple[float, float]]:
        """Return when each of the stage's updates ended, and how long all of them have waited by then, in seconds."""
        if not self.metrics.exists():
            return []
        lines = [json.loads(line) for line in self.metrics.read_text().splitlines(keepends=True) if line[-1] == "\n"]
        main = [line for line in lines if line.get("phase") == "main" and line["stage"] == 1]
        return [(line["seconds"], line["wait"]) for line in main]

    def turn(self) -> list[tuple[float, float]]:
        """Run for a turn; return the seconds that its updates took, and waited, but for the one that it began in."""
        before = len(self.times())
        self.send(signal.SIGCONT)
        time.sleep(TURN)
        self.send(signal.SIGSTOP)
        ended = self.times()[before:]
        if self.process.poll() is not None:
            sys.exit(f"{self.metrics.parent.name} ended before its last turn: take fewer rounds")
        return [(now[0] - last[0], now[1] - last[1]) for last, now in pairwise(ended)]

    def kill(self) -> None:
        """End the training where it is, and its readers."""
        self.send(signal.SIGKILL)
        self.process.wait()


def command(out: Path, overrides: list[str]) -> list[str]:
    """Return the command that trains the demo's model."""
    shards = f"data.path={out.parent / 'scenes'}"
    return [sys.executable, "-m", "cavs_dist", "train", "demo", f"out={out}", shards, *SHARED, *overrides]


@contextmanager
def all_ways(out: Path) -> Iterator[dict[str, Training]]:
    """Start every way from one shared stage 0; kill them at the end."""
    Training(out / "start", WAYS["no_rehearsal"]).kill()
    begun: dict[str, Training] = {}
    try:
        for name, overrides in WAYS.items():
            begun[name] = Training(out / name, [*overrides, f"train.start={out / 'start'}"])
        yield begun
    finally:
        for training in begun.values():
            training.kill()


def mean_update(turns: dict[str, list[tuple[float, float]]], name: str) -> float:
    """Return the mean seconds of the updates of a way's turn."""
    return fmean(seconds for seconds, _ in turns[name])


def main() -> None:
    """Take turns, and compare within each round."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--out", type=Path, default=Path("runs/rehearsal_cost"))
    options = parser.parse_args()
    render_scenes(options.out / "scenes", replace(PRESETS["scenes-8"], val=1, test=1))
    rounds: list[dict[str, list[tuple[float, float]]]] = []
    shuffle = random.Random(0).sample
    with all_ways(options.out) as trainings:
        for _ in range(options.rounds):
            rounds.append({name: trainings[name].turn() for name in shuffle(list(WAYS), len(WAYS))})
            print(" ".join(f"{name} {1000 * mean_update(rounds[-1], name):.0f}" for name in rounds[-1]), flush=True)
    found = {}
    for name, base in BASE.items():
        updates = [update for turns in rounds for update in turns[name]]
        low, middle, high = quantiles((mean_update(r, name) / mean_update(r, base) - 1 for r in rounds), n=4)
        update, wait = 1000 * median(seconds for seconds, _ in updates), 1000 * fmean(wait for _, wait in updates)
        found[name] = {"milliseconds": update, "wait": wait, "cost": [low, middle, high]}
        print(f"{name:13} {update:4.0f} ms an update, {middle:+.1%} over {base} ({low:+.1%} to {high:+.1%})", end="; ")
        print(f"{wait:.1f} ms of it waiting")
    print(json.dumps({"bench": "rehearsal_cost", "rounds": options.rounds, "ways": found}))


if __name__ == "__main__":
    main()
