"""Jobs that are interrupted end, after restarts, with the weights of a run that nobody touched."""

import os
import signal
from pathlib import Path

import pytest

from cavs_dist.cluster.record import read_jobs
from tests.slurm.cluster import Cluster
from tests.slurm.runs import LONG, Submit, Trains, endings, said, weights

pytestmark = [pytest.mark.slurm, pytest.mark.slow]
HOSTILE = 'it\'s $$ $(touch hit) `touch hit` "ü" %j 100% ;&|#*'


def test_a_requeue_by_hand_in_a_folder_with_a_hostile_name(
    cluster: Cluster, submit: Submit, trains: Trains, tiny: str, alone: Path, tmp_path: Path
) -> None:
    folder = tmp_path / HOSTILE
    (job,) = submit(
        tiny, *LONG, f"out={folder}", f"slurm.name={HOSTILE}", 'slurm.options=["--comment=$(touch hit) \'#"]'
    )
    trains(job, folder)
    cluster.call("scontrol", "requeue", job)
    ended = cluster.end_of(job)
    assert (ended["JobState"], ended["Restarts"]) == ("COMPLETED", "1"), said(folder)
    assert cluster.call("squeue", "--noheader", "--states=all", "--format=%j", f"--jobs={job}") == f"{HOSTILE}\n"
    assert endings(folder) == ["", "finished"]
    assert weights(folder) == weights(alone)
    assert not list(tmp_path.rglob("hit"))


def test_a_preemption(cluster: Cluster, submit: Submit, trains: Trains, tiny: str, alone: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    (job,) = submit(tiny, *LONG, f"out={folder}", "slurm.partition=low")
    trains(job, folder)
    urgent = ["--partition=main", "--nodes=2", "--exclusive", "--output=/dev/null", "--wrap=sleep 1", "--parsable"]
    before = cluster.call("sbatch", *urgent).strip()
    assert cluster.end_of(before)["JobState"] == "COMPLETED"
    ended = cluster.end_of(job)
    assert (ended["JobState"], ended["Restarts"]) == ("COMPLETED", "1"), said(folder)
    assert endings(folder) == ["stopped", "finished"]
    assert weights(folder) == weights(alone)


def test_a_lost_node(cluster: Cluster, submit: Submit, trains: Trains, tiny: str, alone: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    (job,) = submit(tiny, *LONG, f"out={folder}")
    trains(job, folder)
    node = cluster.show(job)["NodeList"]
    cluster.lose_node(node)
    try:
        ended = cluster.end_of(job)
    finally:
        cluster.start_node(node)
    assert (ended["JobState"], ended["Restarts"]) == ("COMPLETED", "1"), said(folder)
    assert ended["NodeList"] != node
    assert endings(folder) == ["", "finished"]
    assert weights(folder) == weights(alone)
    cluster.until(cluster.is_idle, "idle nodes")


def test_a_crash(cluster: Cluster, submit: Submit, trains: Trains, tiny: str, alone: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    (job,) = submit(tiny, *LONG, f"out={folder}", "slurm.max_restarts=1")
    for _ in range(2):
        cluster.until(lambda: cluster.processes(f"SLURM_JOB_ID={job}", "RANK=0") != [], "rank", 120)
        for process in cluster.processes(f"SLURM_JOB_ID={job}", "RANK=0"):
            os.kill(process, signal.SIGKILL)
        cluster.until(lambda: cluster.state(job) != "RUNNING", "end of the job", 60)
    assert cluster.end_of(job)["JobState"] == "FAILED", said(folder)
    assert endings(folder) == ["crashed", "crashed"]
    assert read_jobs(folder)[0].crashes == 2
    (job,) = submit(tiny, *LONG, f"out={folder}")  # goes on, as a job of its own
    assert cluster.end_of(job)["JobState"] == "COMPLETED", said(folder)
    assert weights(folder) == weights(alone)
