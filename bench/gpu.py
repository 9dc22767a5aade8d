"""Every op with its kernel on a GPU, against eager torch, torch.compile and, for attention, SDPA or the N x N matrix.

python bench/gpu.py [--out bench/gpu.jsonl] [--families collision ...] [--dtypes bfloat16 float32]
python bench/gpu.py --table bench/gpu.jsonl          # the measurements as a table, on any machine

At the shapes of AVSBench (`gpu_cases.py`). What does not agree with float64, or fails, is not timed but reported; the
exit code is 1 if that is a kernel. One JSON line a measurement, appended.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import torch
import triton
from gpu_cases import FAMILIES, Case, Result, Shapes, Way


def error_of(found: Result, truth: Result) -> float:
    """Return the largest error of any part, as a share of the part's length."""
    errors = [0.0]
    for ours, theirs in zip(found, truth, strict=True):
        length = theirs.double().norm().clamp(min=1e-30)
        errors.append(float((ours.double() - theirs.double()).norm() / length))
    return max(errors)


def measure(case: Case, name: str, way: Way, truth: Result) -> dict[str, Any]:
    """Return what a way takes; where it is off, or cannot be run, `failed` says so instead."""
    about = {
        "family": case.family, "case": case.name, "dtype": str(case.dtype).removeprefix("torch."), "way": name,
        "device": torch.cuda.get_device_name(), "torch": torch.__version__, "triton": triton.__version__,
    }  # fmt: skip
    try:
        error = error_of(way(), truth)
        if not error <= case.tolerance:
            return {**about, "error": error, "failed": f"off by {error:.1e}"}
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        way()
        peak = torch.cuda.max_memory_allocated() - before
        milliseconds = triton.testing.do_bench(way)
    except torch.cuda.OutOfMemoryError:
        return {**about, "failed": "out of memory"}
    except Exception as error:  # whatever a compiler does to one way: the others are still worth their time
        return {**about, "failed": f"{type(error).__name__}: {error}"[:300]}
    speed = case.bytes / milliseconds / 1e6
    numbers = {"milliseconds": milliseconds, "gigabytes_a_second": speed, "peak_megabytes": peak / 2**20}
    return {**about, "error": error, **numbers}


def table(path: Path) -> str:
    """Return the measurements of a file as a table."""
    rows = ["| op | type | way | ms | GB/s of the least | peak MB | device |", "|---|---|---|---|---|---|---|"]
    for line in map(json.loads, path.read_text().splitlines()):
        numbers = f"{line['failed']} | | "
        if "failed" not in line:
            numbers = f"{line['milliseconds']:.3f} | {line['gigabytes_a_second']:.0f} | {line['peak_megabytes']:.0f}"
        op = f"{line['family']}, {line['case']}"
        rows.append(f"| {op} | {line['dtype']} | {line['way']} | {numbers} | {line['device']} |")
    return "\n".join(rows)


def main() -> None:
    """Measure, or show what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("bench/gpu.jsonl"))
    parser.add_argument("--families", nargs="+", choices=FAMILIES, default=list(FAMILIES))
    parser.add_argument("--dtypes", nargs="+", choices=("bfloat16", "float16", "float32"), default=["bfloat16"])
    parser.add_argument("--table", type=Path)
    options = parser.parse_args()
    if options.table:
        print(table(options.table))
        return
    if not torch.cuda.is_available():
        sys.exit("there is no GPU here: nothing was measured")
    wrong = False
    with options.out.open("a") as out:
        for family in options.families:
            for dtype in options.dtypes:
                for case in FAMILIES[family](Shapes(), getattr(torch, dtype), torch.device("cuda")):
                    torch._dynamo.reset()  # else it gives up compiling after some cases
                    truth = case.truth()
                    for name, way in case.ways.items():
                        line = measure(case, name, way, truth)
                        out.write(json.dumps(line) + "\n")
                        out.flush()
                        said = line.get("failed") or f"{line['milliseconds']:.3f} ms"
                        print(f"{family} {case.name}, {dtype}, {name}: {said}", flush=True)
                        wrong |= name == "kernel" and "failed" in line
    sys.exit(int(wrong))


if __name__ == "__main__":
    main()
