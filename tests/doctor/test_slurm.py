import os
import time
from collections.abc import Callable

import pytest

from cavs_dist.doctor.slurm import controller, job, nodes

Install = Callable[[str, str], None]
SINFO = 'case "$1" in --version) echo "%s";; *) printf "%s";; esac'


@pytest.mark.parametrize(
    ("version", "rows", "verdict", "said"),
    [
        ("slurm-wlm 22.05.8", "gpu|up|4|idle\\nlong|up|2|mixed\\nold|down|1|idle\\n", "ok", "take jobs: gpu, long"),
        ("slurm 20.11.3", "gpu|up|4|idle\\n", "warning", "20.11.3"),
        ("slurm 24.11.1", "gpu|up|4|drained\\ncpu|up|1|down*\\n", "warning", "take jobs: none"),
        ("slurm 24.11.1", "what is this\\n", "warning", "take jobs: none"),
        ("hello", "", "failed", "'hello'"),
    ],
)
def test_what_sinfo_says_is_judged(install: Install, version: str, rows: str, verdict: str, said: str) -> None:
    install("sinfo", SINFO % (version, rows))
    finding = controller()
    assert finding.verdict == verdict and said in finding.found


def test_no_slurm_is_well_but_one_that_does_not_answer_fails(install: Install) -> None:
    assert controller().verdict == "ok"
    install("sinfo", 'case "$1" in --version) echo "slurm 24.11";; *) exec /bin/sleep 60;; esac')
    start = time.monotonic()
    finding = controller()
    assert finding.verdict == "failed" and "did not answer" in finding.found
    assert time.monotonic() - start < 30


def test_programs_without_a_cluster_are_a_warning(install: Install) -> None:
    install("sinfo", "echo sinfo: fatal: Could not establish a configuration source >&2; exit 1")
    assert controller().verdict == "warning"


def test_a_job_is_described() -> None:
    assert job({}).found == "not inside a job"
    inside = {"SLURM_JOB_ID": "12", "SLURM_NNODES": "2", "SLURM_JOB_NODELIST": "n[1-2]"}
    assert job(inside).verdict == "ok" and job(inside).found.startswith("job 12, 2 nodes, ")
    assert nodes(inside) == 2 and nodes({}) == 1 and nodes({"SLURM_NNODES": "2"}) == 1
    assert job({"SLURM_JOB_ID": "12"}).verdict == "warning"
    cores = len(os.sched_getaffinity(0))
    assert job(inside | {"SLURM_CPUS_PER_TASK": str(cores)}).verdict == "ok"
    assert job(inside | {"SLURM_CPUS_PER_TASK": str(cores + 1)}).verdict == "warning"
    assert "9 min left" in job(inside | {"SLURM_JOB_END_TIME": str(int(time.time()) + 560)}).found
