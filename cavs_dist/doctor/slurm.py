"""SLURM: is there one, does it answer, and what does this process have of it inside a job?"""

import os
import re
import time
from collections.abc import Mapping
from pathlib import Path

from cavs_dist.doctor.finding import Finding
from cavs_dist.doctor.program import Missing, Unanswered, ask
from cavs_dist.doctor.storage import made

# Names the node that it runs on, and whether the file in its first argument is seen within 5 s.
LOOK = """
for _ in 1 2 3 4 5 6; do
  if [ -e "$1" ]; then echo "$SLURMD_NODENAME yes"; exit; fi
  sleep 1
done
echo "$SLURMD_NODENAME no"
"""
UNCONFIGURED = "Could not establish a configuration source"
OLDEST = (22, 5)  # the version that the job script was tried with


def controller() -> Finding:
    """Check SLURM's version, and that its controller answers with partitions that take jobs."""
    try:
        version = ask(("sinfo", "--version")).strip()
        number = re.search(r"(\d+)\.(\d+)", version)
        if number is None:
            return Finding("failed", f"sinfo --version says {version[:80]!r}", "see which sinfo is first on PATH")
        rows = [line.split("|") for line in ask(("sinfo", "--noheader", "--format=%R|%a|%D|%T")).splitlines() if line]
    except Missing:
        return Finding("ok", "no SLURM here: runs are started by hand or by torchrun")
    except Unanswered as error:
        if UNCONFIGURED in str(error):
            return Finding("warning", "SLURM's programs are here, but no cluster is", "set SLURM_CONF, if there is one")
        return Finding("failed", str(error), "see `scontrol ping` and munge, or ask for the cluster's state")
    up = sorted(
        {row[0] for row in rows if len(row) == 4 and row[1] == "up" and not row[3].startswith(("down", "drain"))}
    )
    found = f"{version}, partitions that take jobs: {', '.join(up) or 'none'}"
    if not up:
        return Finding("warning", found, "see `sinfo -R` for why nodes are down")
    if (int(number[1]), int(number[2])) < OLDEST:
        return Finding("warning", found, "the job script was tried with SLURM 22.05 and later")
    return Finding("ok", found)


def job(environment: Mapping[str, str] = os.environ) -> Finding:
    """Check what SLURM gave this process, inside a job."""
    number = environment.get("SLURM_JOB_ID")
    if not number:
        return Finding("ok", "not inside a job")
    cores = len(os.sched_getaffinity(0))
    found = f"job {number}, {nodes(environment)} nodes, {cores} cores here{_time_left(environment)}"
    missing = [name for name in ("SLURM_JOB_NODELIST", "SLURM_NNODES") if not environment.get(name)]
    if missing:
        return Finding(
            "warning", f"{found}; {', '.join(missing)} not set", "start it by sbatch or srun, without --export=NONE"
        )
    asked = environment.get("SLURM_CPUS_PER_TASK", "")
    if asked.isdigit() and int(asked) > cores:
        advice = "since SLURM 22.05 srun takes no cores from sbatch: set SRUN_CPUS_PER_TASK"
        return Finding("warning", f"{found}, of {asked} that the job asked for", advice)
    return Finding("ok", found)


def sight(scratch: Path, nodes: int) -> Finding:
    """Check that every node of the job sees a new file at once, by a step on all of them."""
    if nodes == 1:
        return Finding("ok", "not in a job of several nodes: run `cavs-dist doctor` in one to ask them all")
    with made(scratch) as folder:
        file = folder / "new"
        file.write_text("here")
        tasks = (f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1", "--overlap", "--time=2")
        try:
            said = ask(("srun", *tasks, "sh", "-c", LOOK, "look", str(file)), 60)
        except Unanswered as error:
            return Finding("failed", f"not all nodes could be asked: {error}", "see squeue and the nodes' own logs")
    blind = sorted({line.removesuffix(" no") for line in said.splitlines() if line.endswith(" no")})
    if blind:
        return Finding(
            "failed", f"a new file is not seen by {', '.join(blind)}", "choose an out=... that all nodes share"
        )
    return Finding("ok", f"a new file is seen by all {nodes} nodes")


def nodes(environment: Mapping[str, str] = os.environ) -> int:
    """Return the nodes of the job that this process is in, 1 outside of one."""
    found = environment.get("SLURM_NNODES", "")
    return int(found) if found.isdigit() and "SLURM_JOB_ID" in environment else 1


def _time_left(environment: Mapping[str, str]) -> str:
    end = environment.get("SLURM_JOB_END_TIME", "")  # only newer versions tell
    return f", {(int(end) - time.time()) / 60:.0f} min left" if end.isdigit() else ""
