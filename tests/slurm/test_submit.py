"""Jobs on two nodes, chains and arrays, and what a real sbatch makes of our texts."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from cavs_dist import paths
from cavs_dist.cluster import scheduler
from cavs_dist.cluster.record import read_jobs
from cavs_dist.errors import InputError
from tests.offline_run import read_offline
from tests.slurm.cluster import Cluster
from tests.slurm.runs import LONG, Submit, Trains, endings, said, weights

pytestmark = [pytest.mark.slurm, pytest.mark.slow]


@pytest.mark.parametrize("name", ["train", "evaluate", "shard"])
def test_a_template_is_taken_as_it_is(name: str) -> None:
    text = (paths.folder("slurm") / f"{name}.sbatch").read_text()
    assert scheduler.test(text).startswith("Job ")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("slurm.partition=$(id)", r"does not take the job: .*invalid partition"),
        ("slurm.memory=999G", r"does not take the job: .*configuration is not available"),
        ("slurm.name='a\tb'", r"slurm.name is .* must not hold line breaks"),
        ("slurm.options=['--wrap=id']", "slurm.options has '--wrap=id': --wrap is set"),
        ("optim.lr=fast", "optim.lr"),
        ("slurm.ranks_per_node=3", "optim.batch"),
    ],
)
def test_what_would_fail_is_refused_before_it_is_submitted(
    cluster: Cluster, submit: Submit, tiny: str, tmp_path: Path, override: str, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        submit(tiny, f"out={tmp_path / 'run'}", override)
    assert not (tmp_path / "run").exists()


@pytest.mark.world
def test_two_nodes_of_two_ranks_stopped_in_between_compute_what_four_ranks_here_do(
    cluster: Cluster,
    submit: Submit,
    trains: Trains,
    start: Callable[..., "subprocess.Popen[str]"],
    tiny: str,
    tmp_path: Path,
) -> None:
    folder, run = tmp_path / "a $$ run", [*LONG, "optim.batch=8"]
    local = start("train", tiny, *run, f"out={tmp_path / 'local'}", ranks=4)
    (job,) = submit(tiny, *run, f"out={folder}", "slurm.nodes=2", "slurm.ranks_per_node=2", "track.wandb=offline")
    with pytest.raises(InputError, match=f"is job {job} already"):
        submit(tiny, *run, f"out={folder}")
    trains(job, folder)
    cluster.call("scancel", "--signal=USR1", "--batch", job)
    ended = cluster.end_of(job)
    assert (ended["JobState"], ended["Restarts"]) == ("COMPLETED", "1"), said(folder)
    assert endings(folder) == ["stopped", "finished"]
    assert {path.name for path in (folder / f"slurm/{job}.1").glob("*.log")} == {f"rank-{r}.log" for r in range(4)}
    assert local.wait(timeout=300) == 0, local.communicate()
    assert weights(folder) == weights(tmp_path / "local")
    before, after = read_offline(folder)
    assert (
        before.run.run_id == after.run.run_id and before.preempting and (before.exit_code, after.exit_code) == (75, 0)
    )


def test_a_chain_of_stages_for_an_array_of_seeds(
    cluster: Cluster, submit: Submit, tiny: str, alone: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "runs"
    first, second = submit(tiny, *LONG, f"out={folder}", seeds="3,4", chain=True)
    for task in (0, 1):
        assert cluster.end_of(f"{second}_{task}")["JobState"] == "COMPLETED", said(folder)
    for number, seed in enumerate((3, 4)):
        jobs = read_jobs(folder / f"seed-{seed}")
        assert [(job.id, job.until, job.after) for job in jobs] == [
            (f"{first}_{number}", 0, ""),
            (f"{second}_{number}", 1, f"{first}_{number}"),
        ]
        assert endings(folder / f"seed-{seed}") == ["finished", "finished"]
    assert weights(folder / "seed-3") == weights(alone)
    assert weights(folder / "seed-4").keys() == weights(alone).keys()


def test_a_stage_that_fails_stops_its_chain_and_says_why(
    cluster: Cluster, submit: Submit, tiny: str, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    first, second = submit(tiny, f"out={folder}", "optim.lr=1e20", chain=True)
    assert (ended := cluster.end_of(first))["JobState"] == "FAILED" and ended["ExitCode"] == "2:0", said(folder)
    assert cluster.end_of(second)["JobState"] == "CANCELLED"
    failed, stopped = read_jobs(folder)
    end = failed.starts[0].end
    assert end is not None and end.ending == "refused" and "is not finite" in end.reason
    assert (stopped.after, stopped.starts) == (first, ())
