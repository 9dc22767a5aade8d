"""Where Triton keeps what it compiled: on the node's own disk, since ranks of several nodes race in a shared home."""

import os
import stat
import tempfile
from pathlib import Path


def keep_cache_on_this_node() -> None:
    """Set TRITON_CACHE_DIR, unless it is set, to this user's folder below the node's folder for temporary files.

    What lies there is run: a folder that others own or may write to, or a link, is not used, but a fresh one.
    """
    if "TRITON_CACHE_DIR" in os.environ:
        return
    folder = Path(tempfile.gettempdir()) / f"cavs_kernels-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        folder = Path(tempfile.mkdtemp(prefix="cavs_kernels-"))
    os.environ["TRITON_CACHE_DIR"] = str(folder)
