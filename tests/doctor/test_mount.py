from collections.abc import Callable
from pathlib import Path

import pytest

from cavs_dist.doctor import mount
from cavs_dist.doctor.mount import file_system, mount_of, torch_cache, triton_cache

TABLE = r"""
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,discard
23 22 0:21 / /nfs rw,relatime shared:2 - nfs4 server:/export rw,vers=4.2,local_lock=none
24 22 0:22 / /loose rw,relatime shared:3 - nfs server:/loose rw,vers=3,nolock,local_lock=all
25 22 0:23 / /lustre rw,relatime - lustre 10.0.0.1@o2ib:/work rw,flock
26 23 0:24 / /nfs/with\040space rw - xfs /dev/sdb rw
27 22 0:25 / /sealed ro,relatime - ext4 /dev/sdc ro
28 22 0:26 / /box rw - overlay overlay rw,lowerdir=/a
29 22 0:27 / /hidden rw - tmpfs none rw
30 22 0:28 / /hidden rw - beegfs none rw
cut off
""".strip()


@pytest.mark.parametrize(
    ("path", "kind", "shared"),
    [
        ("/home", "ext4", False),
        ("/nfs/run", "nfs4", True),
        ("/nfs2/run", "ext4", False),
        ("/nfs/with space/run", "xfs", False),
        ("/lustre", "lustre", True),
        ("/hidden/a", "beegfs", True),
    ],
)
def test_a_path_is_on_the_longest_mount(path: str, kind: str, shared: bool) -> None:
    found = mount_of(Path(path), TABLE)
    assert (found.kind, found.is_shared) == (kind, shared)


@pytest.mark.parametrize(
    ("path", "nodes", "verdict", "said"),
    [
        ("/nfs/run", 2, "ok", "nfs4 at /nfs, shared"),
        ("/loose/run", 1, "warning", "local_lock=all, nolock"),
        ("/home", 1, "ok", "ext4 at /, of this machine"),
        ("/home", 2, "failed", "this job has 2 nodes"),
        ("/sealed", 1, "failed", "read-only"),
        ("/box", 1, "warning", "overlay"),
    ],
)
def test_what_a_run_folder_lies_on_is_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, nodes: int, verdict: str, said: str
) -> None:
    table = tmp_path / "mountinfo"
    table.write_text(TABLE)
    monkeypatch.setattr(mount, "TABLE", table)
    finding = file_system(Path(path), nodes)
    assert finding.verdict == verdict and said in finding.found


def test_a_real_file_system_in_memory_is_known(mounted: Callable[[str], Path]) -> None:
    folder = mounted("size=1m")
    assert file_system(folder, 1).verdict == "warning" and f"tmpfs at {folder}" in file_system(folder, 1).found
    assert file_system(mounted("ro"), 1).verdict == "failed"


def test_a_cache_on_a_shared_file_system_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert triton_cache().verdict == torch_cache().verdict == "ok"
    table = tmp_path / "mountinfo"
    table.write_text(TABLE)
    monkeypatch.setattr(mount, "TABLE", table)
    monkeypatch.setenv("TRITON_CACHE_DIR", "/nfs/home/.triton")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "/nfs/home/.inductor")
    for finding, name in ((triton_cache(), "TRITON_CACHE_DIR"), (torch_cache(), "TORCHINDUCTOR_CACHE_DIR")):
        assert finding.verdict == "warning" and name in finding.advice
