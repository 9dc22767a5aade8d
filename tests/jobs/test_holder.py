import fcntl
import platform
import subprocess
import sys
from pathlib import Path

from cavs_dist.jobs.holder import holder

HOLD = """
import fcntl, sys
file = open(sys.argv[1], "r+")
fcntl.lockf(file, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


def test_a_lock_is_seen_and_not_taken(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    lock.write_text(f"process 7 on {platform.node()}")
    lock.chmod(0o444)
    assert not holder(tmp_path).alive
    lock.chmod(0o644)
    pipe = subprocess.PIPE
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(lock)], stdin=pipe, stdout=pipe, text=True)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    found = holder(tmp_path)
    assert found.alive and found.who == f"process 7 on {platform.node()}" and not found.elsewhere
    process.communicate("")
    assert not holder(tmp_path).alive
    with lock.open("r+") as file:  # nobody holds it, not even the one that has asked
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_no_lock_is_nobodys(tmp_path: Path) -> None:
    assert (holder(tmp_path).alive, holder(tmp_path).who, holder(tmp_path).elsewhere) == (False, "", False)


def test_another_machines_holder_is_known(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("process 7 on elsewhere")
    assert holder(tmp_path).elsewhere
