"""The share of a training run's wall time that is spent waiting for data, over all its fits. One JSON line at the end.

python bench/data_wait.py RUN ...          (runs that trained in one go)
"""

import json
import sys
from pathlib import Path


def last_lines(run: Path) -> list[dict[str, float]]:
    """Return the last training line of each fit: its seconds and the seconds it waited."""
    lines = (json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines())
    fits = {(line["stage"], line["phase"]): line for line in lines if "loss" in line}
    return list(fits.values())


def main() -> None:
    """Print the share of each run."""
    shares = {}
    for run in map(Path, sys.argv[1:]):
        fits = last_lines(run)
        seconds, waited = (sum(fit[name] for fit in fits) for name in ("seconds", "wait"))
        shares[run.name] = round(waited / seconds, 4)
        print(f"{run}: waited {waited:.1f} of {seconds:.1f} s of training, {waited / seconds:.1%}")
    print(json.dumps({"bench": "data_wait", "share": shares}))


if __name__ == "__main__":
    main()
