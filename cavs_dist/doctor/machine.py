"""This machine: its cores, its shared memory, how many files a process may open."""

import os
import resource
import shutil
from pathlib import Path

from cavs_dist.doctor.finding import Finding

GIB = 1 << 30
LEAST_SHM, GOOD_SHM = 64 << 20, GIB  # the first is what a container gets where nobody asked for more
LEAST_FILES, GOOD_FILES = 256, 1024


def threads() -> Finding:
    """Check the cores that this process may use, and OMP_NUM_THREADS, the threads that each rank takes."""
    cores = len(os.sched_getaffinity(0))
    asked = os.environ.get("OMP_NUM_THREADS", "")
    found = f"{cores} of {os.cpu_count()} cores, OMP_NUM_THREADS={asked or 'not set'}"
    if asked and not (asked.isdigit() and int(asked)):
        return Finding("warning", found, "set OMP_NUM_THREADS to a number of threads, or unset it")
    if asked and int(asked) > cores:
        return Finding("warning", found, f"set OMP_NUM_THREADS to {cores} or less, by the ranks of this node")
    if cores == 1:
        return Finding("warning", found, "a rank and its readers of clips share one core: ask for more (slurm.cpus)")
    return Finding("ok", found)


def shared_memory(path: Path = Path("/dev/shm")) -> Finding:
    """Check the shared memory, through which readers of clips and NCCL hand over what they have."""
    try:
        free = shutil.disk_usage(path).free
    except OSError as error:
        return Finding("failed", f"{path}: {error.strerror}", "mount it, or set data.workers=0 and NCCL_SHM_DISABLE=1")
    found = f"{free / GIB:.2f} GiB free in {path}"
    if free < LEAST_SHM:
        return Finding("failed", found, "enlarge it (docker: --shm-size=8g), or set data.workers=0")
    if free < GOOD_SHM:
        return Finding("warning", found, "enlarge it (docker: --shm-size=8g), or set data.workers low")
    return Finding("ok", found)


def open_files() -> Finding:
    """Check how many files and connections a process may have open; rank 0 may hold one for each rank."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = hard if hard != resource.RLIM_INFINITY else 65536
    found = f"{soft} at once" if soft != resource.RLIM_INFINITY else "no limit"
    advice = f"raise the limit: ulimit -n {min(limit, 65536)}"
    if 0 <= soft < LEAST_FILES:
        return Finding("failed", found, advice)
    if 0 <= soft < GOOD_FILES:
        return Finding("warning", found, advice)
    return Finding("ok", found)
