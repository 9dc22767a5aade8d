"""Which file system a path is on, and whether other machines see it too."""

import getpass
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from cavs_dist.doctor.finding import Finding

SHARED = {
    "nfs", "nfs4", "lustre", "gpfs", "beegfs", "ceph", "wekafs", "panfs", "pvfs2", "afs", "cifs", "smb3", "gfs2",
    "ocfs2", "9p", "virtiofs",
}  # fmt: skip
IN_MEMORY = {"tmpfs", "ramfs"}
# Mount options by which locks are of one machine alone, and options by which the same is shared.
LOCAL_LOCKS = {"nolock", "local_lock=all", "local_lock=posix", "localflock"}
TABLE = Path("/proc/self/mountinfo")


@dataclass(frozen=True)
class Mount:
    """A mounted file system. point: where. kind: as the kernel names it. options: of the mount and the file system."""

    point: Path
    kind: str
    options: frozenset[str]

    @property
    def is_shared(self) -> bool:
        """Tell whether other machines see the same files, as far as the kind says."""
        return self.kind in SHARED or (self.kind.startswith("fuse.") and self.kind[5:] in SHARED | {"sshfs", "s3fs"})


def mount_of(path: Path, table: str) -> Mount:
    """Return the mount that holds `path`. table: the text of /proc/self/mountinfo."""
    real = path.resolve()
    holding = [mount for line in table.splitlines() for mount in _parse(line) if real.is_relative_to(mount.point)]
    # The last of several mounts at one point hides the others.
    return max(enumerate(holding), key=lambda item: (len(item[1].point.parts), item[0]))[1]


def _parse(line: str) -> list[Mount]:
    """Return the mount of a line, none of a line that is no mount's: point 5th, options 6th, kind after a dash."""
    own, _, rest = line.partition(" - ")
    fields, after = own.split(" "), rest.split(" ")
    if len(fields) < 6 or len(after) < 3:
        return []
    point = re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), fields[4])
    options = frozenset(fields[5].split(",")) | frozenset(after[2].split(","))
    return [Mount(Path(point), after[0], options)]


def file_system(folder: Path, nodes: int) -> Finding:
    """Check that the run folder is on a file system that all `nodes` of a run see."""
    mount = mount_of(folder, TABLE.read_text(encoding="utf-8", errors="replace"))
    found = f"{mount.kind} at {mount.point}{', shared' if mount.is_shared else ', of this machine'}"
    if "ro" in mount.options:
        return Finding("failed", f"{found}, mounted read-only", "choose another out=...")
    if mount.is_shared and (local := LOCAL_LOCKS & mount.options):
        advice = "have it mounted with locks for all machines, and never start one run on two of them at once"
        return Finding("warning", f"{found}, with locks of this machine alone ({', '.join(sorted(local))})", advice)
    if mount.kind in IN_MEMORY:
        return Finding("warning", found, "what lies here is gone with the machine: choose an out=... on a disk")
    if mount.kind == "overlay":
        return Finding("warning", found, "what lies here is gone with the container: mount a folder of the host")
    if nodes > 1 and not mount.is_shared:
        return Finding("failed", f"{found}, and this job has {nodes} nodes", "choose an out=... that all nodes share")
    return Finding("ok", found)


def triton_cache() -> Finding:
    """Check where Triton keeps what it compiled."""
    default = Path(tempfile.gettempdir()) / f"cavs_kernels-{os.getuid()}"  # as cavs_kernels sets it
    return _cache("TRITON_CACHE_DIR", default)


def torch_cache() -> Finding:
    """Check where torch's compiler keeps what it compiled."""
    return _cache("TORCHINDUCTOR_CACHE_DIR", Path(tempfile.gettempdir()) / f"torchinductor_{getpass.getuser()}")


def _cache(name: str, default: Path) -> Finding:
    """Check that a folder of compiled code is of this machine: in a shared one, the ranks of several nodes race."""
    folder = Path(os.environ.get(name) or default)
    mount = mount_of(folder, TABLE.read_text(encoding="utf-8", errors="replace"))
    if mount.is_shared:
        return Finding(
            "warning", f"{folder}, on {mount.kind}, shared", f"set {name} to a folder of the node's own disk"
        )
    return Finding("ok", f"{folder}, on {mount.kind}")
