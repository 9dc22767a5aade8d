"""A cluster of two nodes, and runs that are small enough for it: started locally, submitted, compared."""

import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.slurm.cluster import Cluster, missing
from tests.slurm.runs import LONG, Submit, Trains

HOUSE = Path(__file__).parents[2]
ON = ("slurm.gpus_per_node=0", "slurm.cpus_per_rank=1", "slurm.time=30:00", "slurm.lead=100")


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    reason = missing()
    if reason:
        pytest.skip(f"no SLURM here: {reason}")
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="slurm") as folder, Cluster(Path(folder), 2) as cluster:
        yield cluster


@pytest.fixture(autouse=True)
def at_the_cluster(cluster: Cluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Be a user at the cluster's login node, in a folder of the test's own."""
    for name, value in cluster.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PYTHONPATH", f"{HOUSE}:{HOUSE / 'kernels'}")
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)  # of a run within this process
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def submit(cluster: Cluster) -> Submit:
    """Submit a config with overrides, as `cavs-dist submit` does, and return the jobs' ids."""
    from cavs_dist.submit import submit, variants

    def call(config: str, *overrides: str, seeds: str = "", chain: bool = False) -> list[str]:
        return submit(config, variants([*ON, *overrides], seeds, None), chain)

    return call


@pytest.fixture(scope="session")
def alone(tiny: str, start: Callable[..., "subprocess.Popen[str]"], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of `tiny` and LONG that one process made and nobody interrupted."""
    folder = tmp_path_factory.mktemp("alone") / "run"
    process = start("train", tiny, *LONG, f"out={folder}")
    assert process.wait(timeout=300) == 0, process.communicate()
    return folder


@pytest.fixture
def trains(cluster: Cluster) -> Trains:
    """Wait until a job's run has made an update."""

    def trains(job: str, folder: Path) -> None:
        metrics = folder / "metrics.jsonl"
        cluster.until(lambda: metrics.exists() and '"loss"' in metrics.read_text(), f"update of job {job}", 240)

    return trains
