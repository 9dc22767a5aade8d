"""A tiny all_reduce over this machine's GPUs, or over two ranks of gloo: can processes here talk to each other at all?

`python -m cavs_dist.doctor.ring BACKEND RANK WORLD FILE` is one rank.
"""

import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from cavs_dist.doctor.finding import Finding
from cavs_dist.doctor.seen import seen_by_torch

ELEMENTS = 1 << 20


def all_reduce(limit: float = 90.0) -> Finding:
    """Check that one rank a GPU, or two on CPUs, sum a tensor to what is right."""
    seen = seen_by_torch()
    backend = "nccl" if seen.names else "gloo"
    world = len(seen.names) or 2
    start = time.monotonic()
    errors = _errors(backend, world, limit)
    seconds = time.monotonic() - start
    version = f" {seen.nccl}" if backend == "nccl" else ""
    found = f"{backend}{version}, {world} ranks"
    if errors:
        advice = "set NCCL_DEBUG=INFO and run again" if backend == "nccl" else "see `host name` and `interfaces` below"
        return Finding("failed", f"{found}: {errors[0]}", advice)
    return Finding("ok", f"{found} summed {4 * ELEMENTS >> 20} MiB, {seconds:.1f} s with their start")


def _errors(backend: str, world: int, limit: float) -> list[str]:
    """Start the ranks, and return what those that failed said last."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "cavs_dist.doctor.ring", backend]
        ranks = [
            subprocess.Popen(
                [*command, str(rank), str(world), str(Path(folder) / "store")], stderr=subprocess.PIPE, text=True
            )
            for rank in range(world)
        ]
        end, errors = time.monotonic() + limit, []
        for number, rank in enumerate(ranks):
            try:
                said = rank.communicate(timeout=max(0.1, end - time.monotonic()))[1].strip().splitlines()
            except subprocess.TimeoutExpired:
                errors.append(f"rank {number} hangs")
                continue
            if rank.returncode:
                errors.append(
                    f"rank {number} exited with {rank.returncode}: {(said or ['nothing was said'])[-1][:200]}"
                )
        for rank in ranks:
            with suppress(ProcessLookupError):
                rank.kill()
            rank.wait()
    return errors


def join(backend: str, rank: int, world: int, file: str) -> None:
    """Be one rank: sum a tensor over all, and exit with an error where the sum is wrong. Collective."""
    import torch
    import torch.distributed as dist

    device = torch.device("cuda", rank) if backend == "nccl" else torch.device("cpu")
    dist.init_process_group(backend, init_method=f"file://{file}", rank=rank, world_size=world)
    values = torch.full((ELEMENTS,), float(rank + 1), device=device)
    dist.all_reduce(values)
    expected = world * (world + 1) / 2
    if not bool((values == expected).all()):
        sys.exit(f"the sum is {float(values.min())} to {float(values.max())}, expected {expected}")
    dist.destroy_process_group()


if __name__ == "__main__":
    join(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
