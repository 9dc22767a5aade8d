"""The separation demo with joint training over several seeds: is the order joint, ContAV-Sep, fine-tuning?

python bench/separation_order.py [--seeds 0 1 2] [--out runs/separation_seeds]      (about 20 minutes a seed on 2 cores)

Joint training has nothing but its last stage here, all classes at once, which is all that it is judged by. Mean SDR
after the last stage, by seed, and the paired bootstrap interval of the differences over all seeds' mixtures.
One JSON line at the end.
"""

import argparse
import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from statistics import mean
from typing import Any

from cavs_dist.metrics.bootstrap import interval_of_mean

DEMO = Path(__file__).with_name("demo_separation.sh")
ORDER = ("joint", "contavsep", "replay", "fine_tune")


def run(folder: Path, seed: int) -> None:
    """Run the demo with a seed, and joint training beside it."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "DEMO": str(folder), "SEED": str(seed)}
    subprocess.run([str(DEMO)], check=True, env=environment)
    joint = [f"out={folder / 'joint'}", f"data.path={folder / 'scenes'}", f"seed={seed}", "curriculum.split=8"]
    subprocess.run(["cavs-dist", "train", "separation/joint", *joint], check=True, env=environment)


def judged(folder: Path, method: str) -> dict[str, Any]:
    """Return the last stage's record of a run."""
    [*_, last] = sorted(folder.glob(f"{method}/stages/*/evaluation.json"))
    record: dict[str, Any] = json.loads(last.read_text())
    return record


def sdr(record: dict[str, Any]) -> list[float]:
    """Return the SDR of each mixture, the mean over its two sources."""
    return [mean(mixture["sdr"]) for mixture in record["mixtures"]]


def main() -> None:
    """Run all seeds, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=Path("runs/separation_seeds"))
    options = parser.parse_args()
    folders = [options.out / str(seed) for seed in options.seeds]
    for folder, seed in zip(folders, options.seeds, strict=True):
        run(folder, seed)
    found = {method: [judged(folder, method) for folder in folders] for method in ORDER}
    for method, records in found.items():
        print(f"{method}: SDR by seed {[round(record['metrics']['sdr'], 2) for record in records]}")
    floor, ceiling = (mean(record["metrics"][name] for record in found["joint"]) for name in ("floor", "ceiling"))
    print(f"the mixture {floor:.2f}, ratio masks of the true sources {ceiling:.2f}")
    for better, worse in pairwise(ORDER):
        differences = [
            one - other
            for here, there in zip(found[better], found[worse], strict=True)
            for one, other in zip(sdr(here), sdr(there), strict=True)
        ]
        low, high = interval_of_mean(differences)
        print(f"{better} - {worse}: {mean(differences):.2f} dB, 95 % of bootstraps between {low:.2f} and {high:.2f}")
    metrics = {method: [record["metrics"] for record in records] for method, records in found.items()}
    print(json.dumps({"bench": "separation_order", "seeds": options.seeds, "metrics": metrics}))


if __name__ == "__main__":
    main()
