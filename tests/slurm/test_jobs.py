"""`cavs-dist jobs` beside a real queue: jobs that wait, run, fail and hold each other up."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cavs_dist.cluster import record
from cavs_dist.cluster.record import Job
from cavs_dist.doctor.slurm import controller
from tests.slurm.cluster import Cluster

pytestmark = [pytest.mark.slurm, pytest.mark.slow]


def jobs(*folders: Path) -> dict[str, dict[str, Any]]:
    """What `cavs-dist jobs` says, by the names of the run folders."""
    command = [sys.executable, "-m", "cavs_dist", "jobs", "--json", *map(str, folders)]
    said = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ).stdout
    return {Path(run["folder"]).name: run for run in json.loads(said)}


def submit(cluster: Cluster, script: str, *options: str) -> str:
    text = f"#!/bin/sh\n{script}\n"
    return cluster.call("sbatch", "--parsable", "--output=/dev/null", *options, text=text).strip()


def test_a_chain_waits_runs_and_is_stopped_by_a_failure(cluster: Cluster, tmp_path: Path) -> None:
    run = tmp_path / "run"
    go = tmp_path / "go"
    first = submit(cluster, f"while [ ! -e {go} ]; do sleep 0.2; done; exit 1", "--hold")
    options = (f"--dependency=afterok:{first}", "--kill-on-invalid-dep=yes")
    second = submit(cluster, "true", *options)
    record.add_submitted(run, Job(first, until=0))
    record.add_submitted(run, Job(second, until=1, after=first))
    found = jobs(tmp_path)["run"]
    assert (found["state"], found["why"]) == ("waiting", f"job {first}: JobHeldUser")
    cluster.call("scontrol", "release", first)
    cluster.until(lambda: cluster.state(first) == "RUNNING", "start")
    record.add_start(run, first, 0, "node1")
    found = jobs(tmp_path)["run"]
    assert found["state"] == "running" and found["where"] in ("node1", "node2")
    assert [job["state"] for job in found["jobs"]] == ["RUNNING", "PENDING"]
    record.add_end(run, first, 0, "crashed", 1, "rank 1 ended")
    go.touch()
    cluster.end_of(first)
    cluster.end_of(second)
    found = jobs(tmp_path)["run"]
    assert found["state"] == "failed"
    assert found["why"] == f"job {first} crashed with 1: rank 1 ended; job {second} waited for it"


def test_members_of_an_array_are_told_apart(cluster: Cluster, tmp_path: Path) -> None:
    array = submit(cluster, "[ $SLURM_ARRAY_TASK_ID = 1 ] || sleep 60", "--array=0-3%2", "--exclusive")
    for member in range(4):
        record.add_submitted(tmp_path / f"seed-{member}", Job(f"{array}_{member}"))
    cluster.until(lambda: "COMPLETED" in cluster.call("squeue", "-r", "-t", "all", "-j", array, "-o", "%T"), "end")
    cluster.until(lambda: cluster.call("squeue", "-r", "-t", "R", "-j", array, "-o", "%T").count("RUN") == 2, "third")
    found = jobs(tmp_path)
    assert [found[f"seed-{member}"]["state"] for member in (0, 2, 3)] == ["running", "running", "waiting"]
    assert "JobArrayTaskLimit" in found["seed-3"]["why"]
    cluster.call("scancel", array)
    cluster.until(lambda: not cluster.call("squeue", "-h", "-j", array).strip(), "end of the array")
    assert "CANCELLED" in jobs(tmp_path)["seed-0"]["why"]


def test_a_job_that_slurm_has_forgotten(cluster: Cluster, tmp_path: Path) -> None:
    record.add_submitted(tmp_path / "run", Job("999999"))
    assert jobs(tmp_path)["run"]["state"] == "new"


def test_the_doctor_asks_all_nodes_for_a_new_file(cluster: Cluster, tmp_path: Path) -> None:
    """Of two folders, one is hidden on each node: a file that the batch script makes there is of its node alone."""
    answer, hidden = tmp_path / "answer", tmp_path / "hidden"
    hidden.mkdir()
    code = (
        "import sys; from pathlib import Path; from cavs_dist.doctor import slurm;"
        "print(*(slurm.sight(Path(folder) / 'scratch', slurm.nodes()).found for folder in sys.argv[1:]), sep='\\n')"
    )
    script = f"mount -t tmpfs none {hidden} || exit 9\n'{sys.executable}' -c \"{code}\" {tmp_path} {hidden} > {answer}"
    job = submit(cluster, script, "--nodes=2", "--ntasks-per-node=1", f"--chdir={tmp_path}")
    assert cluster.end_of(job)["JobState"] == "COMPLETED"
    seen, blind = answer.read_text().splitlines()
    assert seen == "a new file is seen by all 2 nodes"
    assert blind in ("a new file is not seen by node1", "a new file is not seen by node2")


def test_the_doctor_finds_the_controller(cluster: Cluster) -> None:
    finding = controller()
    assert finding.verdict == "ok" and "take jobs: low, main" in finding.found
