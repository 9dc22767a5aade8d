import os
import subprocess
import sys
import time
from pathlib import Path

from cavs_dist.data.pool import worker_pool

CODE = """
import os, sys, time
from cavs_dist.data.pool import worker_pool
if __name__ == "__main__":
    with worker_pool(1) as pool:
        print(pool.submit(os.getpid).result(), flush=True)
        time.sleep(60)
"""


def test_work_is_done_by_others() -> None:
    with worker_pool(1) as pool:
        assert list(pool.map(abs, [-1, 2, -3], chunksize=2)) == [1, 2, 3]
        assert pool.submit(os.getpid).result() != os.getpid()


def test_workers_end_with_a_killed_parent(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(CODE)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True, env=environment) as parent:
        assert parent.stdout
        worker = int(parent.stdout.readline())
        assert alive(worker)
        parent.kill()
    patience = time.monotonic() + 10
    while alive(worker) and time.monotonic() < patience:
        time.sleep(0.02)
    assert not alive(worker)


def alive(process: int) -> bool:
    """Tell whether a process still runs; one that has ended but that nobody has asked about does not."""
    status = Path(f"/proc/{process}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"
