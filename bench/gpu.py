"""Every op with its kernel on a GPU, against eager torch, torch.compile and, for attention, SDPA.

python bench/gpu.py [--out bench/gpu.jsonl] [--families collision ...]
python bench/gpu.py --table bench/gpu.jsonl          # the measurements as a table, on any machine

At the shapes of AVSBench: 4 clips of 10 frames of 224 x 224, 71 classes of which 61 are old, levels 56 to 7 with 256
channels. Nothing is timed that does not agree with float64 first. One JSON line a measurement, appended.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
import triton
from torch import Tensor

from cavs_kernels.collision import collisions
from cavs_kernels.dispatch import reference_only
from cavs_kernels.head import Head

CLIPS, FRAMES, SIDE, FEATURES, OLD, LABELS = 4, 10, 224, 32, 61, 71
Result = Sequence[Tensor]


class Case(NamedTuple):
    """An op at a shape and type. ways: what is timed, the kernel first. truth: what they must give, within
    `tolerance` of its largest value. bytes: what has to pass through memory at least."""

    family: str
    name: str
    dtype: str
    ways: dict[str, Callable[[], Result]]
    truth: Callable[[], Result]
    tolerance: float
    bytes: int


def forced(way: Callable[[], Result]) -> Callable[[], Result]:
    """Return `way` with every op's reference."""

    def run() -> Result:
        with reference_only():
            return way()

    return run


def ways_of(op: Callable[[], Result]) -> dict[str, Callable[[], Result]]:
    """Return the op with its kernel, its reference, and its reference compiled."""
    return {"kernel": op, "eager": forced(op), "compiled": torch.compile(forced(op))}


def collision_cases() -> Iterator[Case]:
    """Count collisions from head features, and from logits."""
    torch.manual_seed(0)
    truth = torch.randint(OLD, LABELS, (CLIPS, FRAMES, SIDE, SIDE), device="cuda")
    # Multiples of 1/4: products are exact in every type, and so are counts.
    weight, bias = (torch.randint(-8, 9, shape, device="cuda") / 4 for shape in ((OLD, FEATURES), (OLD,)))
    exact = torch.randint(-8, 9, (CLIPS * FRAMES, FEATURES, SIDE, SIDE), device="cuda") / 4
    for dtype in (torch.bfloat16, torch.float32):
        head = Head(exact.to(dtype), weight, bias)

        def count(head: Head = head) -> Result:
            return collisions(head, truth, LABELS)

        size = head.features.nbytes + truth.nbytes
        yield Case("collision", "head", str(dtype), ways_of(count), forced(count), 0.0, size)


FAMILIES = {"collision": collision_cases}


def error_of(found: Result, truth: Result) -> float:
    """Return the largest difference of any part, relative to the part's largest value."""
    errors = [0.0]
    for ours, theirs in zip(found, truth, strict=True):
        scale = theirs.double().abs().max().clamp(min=1e-30)
        errors.append(float((ours.double() - theirs.double()).abs().max() / scale))
    return max(errors)


def measure(case: Case) -> Iterator[dict[str, Any]]:
    """Yield a measurement of each way; leave with exit code 1 if one of them is wrong."""
    truth = case.truth()
    for name, way in case.ways.items():
        error = error_of(way(), truth)
        if not error <= case.tolerance:
            sys.exit(f"{case.family} {case.name} {case.dtype}, {name}: off by {error:.1e}, so nothing is timed")
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        way()
        peak = torch.cuda.max_memory_allocated() - before
        milliseconds = triton.testing.do_bench(way)
        speed = case.bytes / milliseconds / 1e6
        yield {
            "family": case.family, "case": case.name, "dtype": case.dtype, "way": name, "milliseconds": milliseconds,
            "gigabytes_a_second": speed, "peak_megabytes": peak / 2**20, "error": error,
            "device": torch.cuda.get_device_name(), "torch": torch.__version__, "triton": triton.__version__,
        }  # fmt: skip


def table(path: Path) -> str:
    """Return the measurements of a file as a table."""
    rows = ["| op | type | way | ms | GB/s of the least | peak MB | device |", "|---|---|---|---|---|---|---|"]
    for line in map(json.loads, path.read_text().splitlines()):
        numbers = f"{line['milliseconds']:.3f} | {line['gigabytes_a_second']:.0f} | {line['peak_megabytes']:.0f}"
        rows.append(
            f"| {line['family']}, {line['case']} | {line['dtype'].removeprefix('torch.')} | {line['way']} | {numbers} "
            f"| {line['device']} |"
        )
    return "\n".join(rows)


def main() -> None:
    """Measure, or show what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("bench/gpu.jsonl"))
    parser.add_argument("--families", nargs="+", choices=FAMILIES, default=list(FAMILIES))
    parser.add_argument("--table", type=Path)
    options = parser.parse_args()
    if options.table:
        print(table(options.table))
        return
    if not torch.cuda.is_available():
        sys.exit("there is no GPU here: nothing was measured")
    with options.out.open("a") as out:
        for family in options.families:
            for case in FAMILIES[family]():
                for line in measure(case):
                    out.write(json.dumps(line) + "\n")
                    print(f"{family} {case.name} {case.dtype} {line['way']}: {line['milliseconds']:.3f} ms", flush=True)


if __name__ == "__main__":
    main()
