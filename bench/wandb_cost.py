"""What W&B adds to an update, offline and where its server takes connections and answers none. A JSON line at the end.

python bench/wandb_cost.py [--epochs 100] [--out runs/wandb_cost]     (3 minutes on 2 cores)

One training of the demo's model tells its updates, every one of them, to two tracks that take turns of TURN updates:
one with W&B, one without. Both write `metrics.jsonl`. Compared are the medians of the updates of all turns, and what
the call itself takes; the first updates of a turn are left out, for the process that talks with W&B still works off
those of the turn before.
"""

import argparse
import json
import os
import shutil
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

from cavs_dist.config import load_run
from cavs_dist.data.scenes import PRESETS, render_scenes
from cavs_dist.engine import start_world
from cavs_dist.outputs import Batch
from cavs_dist.setting import open_setting
from cavs_dist.track import Scalar, Track
from cavs_dist.trainer import Trainer

TURN, WARM = 10, 2


class Turns:
    """Two tracks that take turns; when each update ended, and how long the track took to be told."""

    def __init__(self, tracks: Sequence[Track]) -> None:
        self.tracks, self.told = tracks, 0
        self.last = time.perf_counter()
        self.updates: tuple[list[float], list[float]] = ([], [])
        self.calls: tuple[list[float], list[float]] = ([], [])

    def scalars(self, values: Mapping[str, Scalar]) -> None:
        """Tell the track whose turn it is."""
        turn, place = self.told // TURN % 2, self.told % TURN
        before = time.perf_counter()
        self.tracks[turn].scalars(values)
        now = time.perf_counter()
        if place >= WARM and self.told >= 2 * TURN:
            self.updates[turn].append(now - self.last)
            self.calls[turn].append(now - before)
        self.last, self.told = now, self.told + 1

    def clips(self, stage: int, phase: str, update: int, batches: Sequence[Batch]) -> None:
        """Tell nobody."""


def measure(out: Path, mode: str, epochs: int) -> dict[str, float]:
    """Train stage 0 of the demo; return milliseconds an update with and without W&B, and of the call alone."""
    shutil.rmtree(out / mode, ignore_errors=True)
    overrides = [f"out={out / mode}", f"data.path={out / 'scenes'}", f"train.epochs={epochs}", "track.every=1"]
    run = load_run("demo", [*overrides, "engine.threads=1"])
    start_world(run.engine)
    trainer = Trainer(open_setting(run), None)
    config = trainer.setting.run.track
    wandb = replace(config, wandb="online" if mode == "stalling" else "offline")
    for folder in ("with", "without"):
        (out / mode / folder).mkdir()
    with (
        Track(out / mode / "with", wandb, {}, resume_update=None) as told,
        Track(out / mode / "without", config, {}, resume_update=None) as alone,
    ):
        trainer.track = turns = Turns((told, alone))  # type: ignore[assignment]
        stage = trainer.setting.stages[0]
        model = trainer.setting.grown_model("main", stage, "random", restart=False)
        trainer.fit("main", stage, model, trainer.method, {})
    (with_it, without), (call, own) = ([1000 * median(part) for part in kind] for kind in (turns.updates, turns.calls))
    return {"with": with_it, "without": without, "call": call, "own": own, "share": (call - own) / without}


def main() -> None:
    """Measure offline, then against a server that stalls."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--out", type=Path, default=Path("runs/wandb_cost"))
    options = parser.parse_args()
    render_scenes(options.out / "scenes", replace(PRESETS["scenes-8"], train=3, val=1, test=1))
    found = {"offline": measure(options.out, "offline", options.epochs)}
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(64)
        os.environ |= {"WANDB_BASE_URL": f"http://127.0.0.1:{server.getsockname()[1]}", "WANDB_API_KEY": "k" * 40}
        found["stalling"] = measure(options.out, "stalling", options.epochs)
    for mode, times in found.items():
        print(
            f"{mode:9} an update {times['with']:.1f} ms, without W&B {times['without']:.1f} ms; "
            f"told in {1000 * times['call']:.0f} us, without W&B {1000 * times['own']:.0f} us: {times['share']:.3%}"
        )
    print(json.dumps({"bench": "wandb_cost", "milliseconds": found}))


if __name__ == "__main__":
    main()
