"""What `cavs-dist plan` says beside what happens, on 1 and 2 CPU ranks and on 4 nodes of one (4 torchrun on localhost).

python bench/scaling.py [--out FOLDER] [key=value ...]      (5 minutes on 2 idle cores)

Rates are measured first, on one rank. Where there are more ranks than cores, a rank is taken to have its share of them.
Bytes are those handed to torch.distributed, counted around the real calls in every update of the last stage, or sent to
agree on the exemplars after the first; memory is what the last stage's training takes beyond what was there (weights,
teacher, libraries). One JSON line at the end.
"""

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from statistics import fmean, median

from safetensors.torch import load_file

from cavs_dist.config import Run, load_run
from cavs_dist.data.scenes import PRESETS, render_scenes
from cavs_dist.scaling.footprint import FLOAT
from cavs_dist.scaling.measure import measure_rates
from cavs_dist.scaling.outlook import Outlook, look_ahead
from cavs_dist.scaling.rates import Known, read_rates
from cavs_dist.scaling.traffic import update_traffic
from cavs_dist.setting import open_setting

BENCH = Path(__file__).parent
RANKS = (1, 2, 4)
NODES = {4: 4}  # ranks: on so many nodes, not on one
SHARED = [
    "method.name=replay", "memory.select=random", "memory.per_class=5", "memory.payload=exchange", "memory.cache=64",
    "rehearse.share=0.3333", "rehearse.weight=collision", "rehearse.count=online", "train.epochs=2", "track.every=1",
    "train.checkpoint_every=0", "curriculum.split=4-4", "data.workers=1", "engine.threads=1",
]  # fmt: skip


def command(ranks: int, notes: Path, out: Path, overrides: list[str]) -> list[list[str]]:
    """Return the commands that train on `ranks` ranks, one a node."""
    nodes = NODES.get(ranks, 1)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    launch = [sys.executable, "-m", "torch.distributed.run", f"--nnodes={nodes}", f"--nproc-per-node={ranks // nodes}"]
    launch += [
        "--rdzv-backend=c10d",
        f"--rdzv-endpoint=127.0.0.1:{port}",
        "--rdzv-id=scaling",
        "--local-addr=127.0.0.1",
    ]
    rest = [str(BENCH / "scaling_rank.py"), str(notes), "train", "demo", f"out={out}", *overrides]
    return [[*launch, *rest]] * nodes


def measured(ranks: int, folder: Path, overrides: list[str]) -> dict[str, float]:
    """Train, and return what happened."""
    out, notes = folder / f"{ranks}", folder / f"notes-{ranks}"
    for stale in (out, notes):
        shutil.rmtree(stale, ignore_errors=True)
    notes.mkdir(parents=True)
    with (folder / f"{ranks}.log").open("w") as log:
        started = [
            subprocess.Popen(one, stdout=log, stderr=log, env={**os.environ, "OMP_NUM_THREADS": "1"})
            for one in command(ranks, notes, out, overrides)
        ]
        codes = [process.wait() for process in started]
        if any(codes):
            sys.exit(f"a rank of {ranks} failed: see {log.name}")
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    stage = max(line["stage"] for line in lines)
    ended = [line["seconds"] for line in lines if line.get("phase") == "main" and line["stage"] == stage]
    told = [json.loads((notes / f"{rank}.json").read_text()) for rank in range(ranks)]
    updates = [update for one in told for update in one["updates"][-len(ended) :]]
    return {
        "weights": sum(value.nbytes for value in load_file(out / f"stages/{stage}/main.safetensors").values()),
        "all-reduced": fmean(update.get("reduced", 0) for update in updates),
        "gathered": fmean(update.get("gathered", 0) for update in updates),
        "exemplars sent": fmean(update.get("sent", 0) for update in updates),
        "shortlists sent": told[0]["merged"][0],
        "memory": max(one["memory"][-1] for one in told),
        "seconds": median(now - before for before, now in pairwise(ended)),
    }


def predicted(outlook: Outlook, run: Run, ranks: int) -> dict[str, float]:
    """Return what the plan says of the same, in the bench's terms."""
    size, row = outlook.size, outlook.rows[0]
    traffic = update_traffic(size, run.engine.zero, ranks, 1)
    held = row.memory[run.engine.zero]
    # On a CPU, of DeepSpeed's buffer only what gradients touch becomes memory.
    touched = FLOAT * size.trained + sum(held[name] for name in ("master", "gradients", "moments", "activations"))
    return {
        "weights": size.held,
        "all-reduced": traffic.reduced + traffic.statistics + row.collisions[1],
        "gathered": traffic.gathered,
        "exemplars sent": row.rehearsed,
        "shortlists sent": row.merged,
        "memory": touched,
        "seconds": row.forecast.seconds,
    }


def share_of_cores(known: Known, ranks: int) -> Known:
    """Return the rates of a rank among more ranks than there are cores."""
    crowd, rates = max(1.0, ranks / (os.cpu_count() or 1)), known.rates
    slower = {name: getattr(rates, name) * crowd for name in ("slot_seconds", "update_seconds", "latency")}
    return Known(replace(rates, **slower), known.origins)


def main() -> None:
    """Measure rates, predict and train on each number of ranks, and print both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/scaling"))
    parser.add_argument("overrides", nargs="*")
    options = parser.parse_args()
    scenes = options.out / "scenes"
    if not scenes.exists():
        render_scenes(scenes, replace(PRESETS["scenes-8"], train=24, val=1, test=1))
    overrides = [f"data.path={scenes}", *SHARED, *options.overrides]
    found = {}
    run = load_run("demo", overrides)
    known = read_rates(None, [], measure_rates(open_setting(run)))
    print(f"rates: {json.dumps({name: getattr(known.rates, name) for name in known.origins})}")
    for ranks in RANKS:
        outlook = look_ahead(open_setting(run), share_of_cores(known, ranks), [ranks], weak=False)
        found[ranks] = {
            "predicted": predicted(outlook, run, ranks),
            "measured": measured(ranks, options.out, overrides),
        }
        print(f"{ranks} ranks on {NODES.get(ranks, 1)} nodes")
        for name, said in found[ranks]["predicted"].items():
            print(f"  {name:16} predicted {said:14,.3f}   measured {found[ranks]['measured'][name]:14,.3f}", flush=True)
    print(json.dumps({"bench": "scaling", "cores": os.cpu_count(), "ranks": found}))


if __name__ == "__main__":
    main()
