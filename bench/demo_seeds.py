"""The demo over several seeds: does it learn, does fine-tuning forget, does CMR keep? One JSON line at the end.

python bench/demo_seeds.py [--seeds 0 1 2] [--out runs/seeds]      (about 8 minutes a seed on 2 cores)
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import mean
from typing import Any

from cavs_dist.config import load_run
from cavs_dist.engine import start_world
from cavs_dist.setting import open_setting

DEMO = Path(__file__).with_name("demo.sh")
METRICS = ("all", "old", "old_fg", "new", "harmonic", "forgetting")


def untrained(folder: Path, seed: int) -> float:
    """Return the first stage's mIoU without background of a network that has learned nothing."""
    overrides = [f"out={folder / 'untrained'}", f"data.path={folder / 'scenes'}", f"seed={seed}"]
    setting = open_setting(load_run("demo", overrides))
    start_world(setting.run.engine)
    stage = setting.stages[0]
    model = setting.fresh_model("main", stage)
    record = setting.task.evaluate(model, setting.clip_by_clip(setting.test.clips, stage, "test", "untrained"), stage)
    return setting.task.metrics([record])["old_fg"] or 0.0


def run(folder: Path, seed: int) -> dict[str, Any]:
    """Run the demo with a seed and return its figures."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    subprocess.run([str(DEMO)], check=True, env={**os.environ, "PATH": path, "DEMO": str(folder), "SEED": str(seed)})
    summary: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    figures = {name: {key: summary[name][key] for key in METRICS} for name in ("cmr", "fine_tune")}
    first = summary["cmr"]["stages"][0]["old_fg"]
    return {**figures, "first": first, "untrained": untrained(folder, seed), "seconds": summary["seconds"]}


def main() -> None:
    """Run all seeds, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=Path("runs/seeds"))
    options = parser.parse_args()
    found = [run(options.out / str(seed), seed) for seed in options.seeds]
    for name in ("cmr", "fine_tune"):
        means = {key: round(mean(one[name][key] for one in found), 3) for key in METRICS}
        print(f"{name}: {means}, old_fg by seed: {[round(one[name]['old_fg'], 3) for one in found]}")
    print(f"first stage: {[round(one['first'], 3) for one in found]}, untrained: {[one['untrained'] for one in found]}")
    print(json.dumps({"bench": "demo_seeds", "seeds": options.seeds, "runs": found}))


if __name__ == "__main__":
    main()
