"""The attention block (batch norm, residual, layer norm), forward and backward, at 5 x 56 x 56 pixels and 256 channels:
the op (its collapsed reference, on a CPU), the same compiled, and with the N x N matrix. All of them have to agree with
float64 first. Prints time and peak memory above the inputs of each, then one JSON line.

    python bench/attention.py [--repeats 5]
"""

import argparse
import json
import multiprocessing
import resource
import statistics
import sys
import time

import torch
from alone import alone
from gpu import error_of
from gpu_cases import Case, Shapes, attention_cases

SHAPES = Shapes(clips=1, frames=5, levels=(56,), channels=256)
WAYS = {"op": "kernel", "compiled": "compiled", "direct": "direct"}


def case() -> Case:
    """Return the case of dot-product attention, the same in every process."""
    return next(attention_cases(SHAPES, torch.float32, torch.device("cpu")))


def measure(name: str, repeats: int, results: multiprocessing.Queue) -> None:  # type: ignore[type-arg]
    """Time a way in a process of its own, so that its peak memory is its own."""
    way = case().ways[name]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        way()
        seconds.append(time.perf_counter() - start)
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    results.put({"seconds": statistics.median(seconds[1:]), "peak_mb": peak})


def check(results: multiprocessing.Queue) -> None:  # type: ignore[type-arg]
    """Find how far each way is from float64; not in the parent, whose peak its children would start from."""
    one = case()
    truth = one.truth()
    results.put({name: error_of(one.ways[way](), truth) / one.tolerance for name, way in WAYS.items()})


def main() -> None:
    """See that all agree, then measure them one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    for name, error in alone(check).items():
        if not error <= 1:
            sys.exit(f"{name} is off by {error:.1f} times what is tolerated, so nothing is timed")
    found = {name: alone(measure, way, repeats) for name, way in WAYS.items()}
    for name, values in found.items():
        print(f"{name:10} {values['seconds'] * 1000:8.1f} ms {values['peak_mb']:8.0f} MB above the inputs")
    ratio = found["direct"]["seconds"] / found["op"]["seconds"]
    print(json.dumps({"bench": "attention", "threads": torch.get_num_threads(), "ratio": round(ratio, 1), **found}))


if __name__ == "__main__":
    main()
