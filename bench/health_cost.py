"""What the health numbers of the track add to an update. One JSON line at the end.

python bench/health_cost.py [--updates 200] [--out runs/health_cost]     (8 minutes on 2 cores)

The demo's model is trained on 1 and 2 ranks of one thread each, with a line of the track every update and every 10.
Within one training, turns with health (clocks, memory, all ranks' numbers in the line's sum) and without take turns, of
`track.every` updates each, so that whatever else the machine does falls on both. Printed are the mean difference of two
neighbouring turns with its standard error, as shares of an update, and beside it what the first rank's calls take.
"""

import argparse
import json
import os
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from statistics import fmean, median, stdev

import torch

from cavs_dist import distributed, fit
from cavs_dist.config import load_run
from cavs_dist.data.scenes import PRESETS, render_scenes
from cavs_dist.data.stream import Update
from cavs_dist.health import Health
from cavs_dist.trainer import train

CLASSES, CLIPS, BATCH = 4, 12, 12
RUN = [
    *("curriculum.order=[bell, cow, train, violin]", "curriculum.split=4", "method.name=fine_tune"),
    *("memory.select=none", "rehearse.weight=uniform", "train.checkpoint_every=0", "engine.threads=1"),
    *(f"optim.batch={BATCH}", "evaluate.batch=4"),
]
WARM = 2  # turns of each kind, before those that count


class Turns(Health):
    """Health that is left out in every second turn, and takes the time of all of them."""

    every = 1

    def __init__(self) -> None:
        super().__init__()
        self.started: list[float] = []  # of updates
        self.inside = 0.0  # seconds in calls, all turns together

    @property
    def on(self) -> bool:
        """Tell whether this turn has health."""
        return (len(self.started) - 1) // self.every % 2 == 0

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Begin an update."""
        self.started.append(time.monotonic())
        with self._counted(super().reading()):
            yield

    @contextmanager
    def learning(self, update: Update, tells: bool) -> Iterator[None]:
        """Learn from it, with health or without."""
        with self._counted(super().learning(update, tells)):
            yield

    def row(self) -> torch.Tensor:
        """Return no numbers where there is no health: the line's sum is then what it was without."""
        start = time.monotonic()
        row = super().row() if self.on else torch.zeros(0)
        self.inside += self.on * (time.monotonic() - start)
        return row

    def scalars(self, rows: torch.Tensor) -> dict[str, float | str]:
        """Return no fields where there is no health."""
        start = time.monotonic()
        told = super().scalars(rows) if self.on else {}
        self.inside += self.on * (time.monotonic() - start)
        return told

    @contextmanager
    def _counted(self, work: AbstractContextManager[None]) -> Iterator[None]:
        """Enter and leave `work` if this turn has health, and count the seconds that both take."""
        if not self.on:
            yield
            return
        start = time.monotonic()
        with work:
            entered = time.monotonic()
            yield
            left = time.monotonic()
        self.inside += entered - start + time.monotonic() - left


def learn(rank: int, ranks: int, every: int, port: int, overrides: Sequence[str], found: Path) -> None:
    """Train as one of the ranks; the first leaves what it measured in `found`."""
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(ranks))
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    made: list[Turns] = []

    def begin() -> Turns:
        made.append(Turns())
        made[0].every = every
        return made[0]

    fit.Health = begin  # type: ignore[misc, assignment]
    train(load_run("demo", [*overrides, f"track.every={every}"]))
    if distributed.is_first():
        found.write_text(json.dumps({"started": made[0].started, "inside": made[0].inside}))
    torch.distributed.destroy_process_group()


def measure(ranks: int, every: int, out: Path, updates: int) -> dict[str, float]:
    """Return an update's milliseconds, and as shares of it the cost, its standard error, and what calls take."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    name = f"{ranks}-{every}"
    epochs = -(-updates * BATCH // (CLASSES * CLIPS))
    overrides = [*RUN, f"data.path={out / 'scenes'}", f"out={out / name}", f"train.epochs={epochs}"]
    torch.multiprocessing.spawn(learn, (ranks, every, port, overrides, out / f"{name}.json"), nprocs=ranks)
    found = json.loads((out / f"{name}.json").read_text())
    starts = found["started"][::every]
    turns = [(end - start) / every for start, end in pairwise(starts)]
    pairs = list(zip(turns[2 * WARM :: 2], turns[2 * WARM + 1 :: 2], strict=False))
    update = median(without for _, without in pairs)
    costs = [(having - without) / update for having, without in pairs]
    inside = found["inside"] / (len(found["started"]) / 2)
    return {
        "milliseconds": 1000 * update,
        "cost": fmean(costs),
        "error": stdev(costs) / len(costs) ** 0.5,
        "inside": inside / update,
        "pairs": len(costs),
    }


def main() -> None:
    """Measure all four."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--updates", type=int, default=200)
    parser.add_argument("--out", type=Path, default=Path("runs/health_cost"))
    options = parser.parse_args()
    render_scenes(options.out / "scenes", replace(PRESETS["scenes-8"], train=CLIPS, val=1, test=1))
    found = {}
    for ranks in (1, 2):
        for every in (1, 10):
            cost = found[f"{ranks} ranks, every {every}"] = measure(ranks, every, options.out, options.updates)
            print(
                f"{ranks} ranks, a line every {every}: {cost['milliseconds']:.0f} ms an update, health "
                f"{cost['cost']:+.2%} +- {cost['error']:.2%} ({cost['pairs']} pairs), its calls {cost['inside']:.3%}",
                flush=True,
            )
    print(json.dumps({"bench": "health_cost", "updates": options.updates, "found": found}))


if __name__ == "__main__":
    main()
