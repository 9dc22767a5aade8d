"""A bounded cache of blocks on the node's own disk, shared by all processes of one user."""

import fcntl
import os
import re
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cavs_dist.errors import InputError

# A cache that is full makes more room than it needs, so that its folder is not listed for every block.
KEPT = 0.9
NAME = re.compile(r"[0-9a-f]{64}-[0-9]{1,12}")


def private_folder(text: str) -> Path:
    """Make the folder of the cache, which nobody else may write; empty is one of the user's own below TMPDIR.

    InputError where it is another's, a link, or open to others: what lies there would not be ours.
    """
    path = Path(text) if text else Path(tempfile.gettempdir()) / f"cavs_dist-{os.getuid()}"
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = path.lstat()
    except OSError as error:
        raise InputError(f"the cache folder {path} cannot be made: {error.strerror}; set data.remote.cache") from None
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise InputError(
            f"the cache folder {path} is a link, another user's, or may be written by others: expected a folder of "
            "your own with mode 0700; remove it or set data.remote.cache"
        )
    return path


class BlockCache:
    """Blocks by name, at most `most` bytes of them; those that were not used for longest go first.

    Any number of processes and threads may share the folder. A block is whole when it has its name, and only who holds
    the lock adds or removes one; the lock's file holds the number of bytes.
    """

    def __init__(self, folder: Path, most: int) -> None:
        self.folder, self._most = folder, most
        self._warned = False

    def read(self, name: str, size: int, first: int, count: int) -> bytes | None:
        """Return `count` bytes of a block, from byte `first` on, if there is a block of this name and size."""
        try:
            with (self.folder / name).open("rb", buffering=0) as file:
                if os.fstat(file.fileno()).st_size != size:
                    return None
                os.utime(file.fileno())
                return os.pread(file.fileno(), count, first)
        except OSError:
            return None

    def keep(self, name: str, data: bytes) -> None:
        """Put a block in, in place of one of its name. A disk that does not take it is worth one warning."""
        if len(data) > self._most:
            return
        try:
            with self._locked() as lock:
                held = self._held(lock) - self._remove(name)
                if held + len(data) > self._most:
                    held = self._make_room(len(data))
                # First the number, then the block: after a kill between them, room is made too early, not too late.
                self._note(lock, held + len(data))
                beside = self.folder / ".new"
                beside.write_bytes(data)
                beside.replace(self.folder / name)
        except OSError as error:
            if not self._warned:
                print(f"warning: the cache {self.folder} takes no more: {error.strerror}", file=sys.stderr)
            self._warned = True

    @contextmanager
    def _locked(self) -> Iterator[int]:
        lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield lock
        finally:
            os.close(lock)

    def _held(self, lock: int) -> int:
        """Return how many bytes of blocks there are: by the lock's file, or else by looking."""
        text = os.pread(lock, 20, 0)
        return int(text) if re.fullmatch(rb"[0-9]{20}", text) else sum(size for _, size, _ in self._blocks())

    def _note(self, lock: int, held: int) -> None:
        os.pwrite(lock, b"%020d" % max(held, 0), 0)

    def _remove(self, name: str) -> int:
        """Remove a block, and return its size; 0 if there is none."""
        path = self.folder / name
        with suppress(FileNotFoundError):
            size = path.stat().st_size
            path.unlink()
            return size
        return 0

    def _make_room(self, wanted: int) -> int:
        """Remove blocks until one of `wanted` bytes has room, and return how many bytes are left."""
        blocks = sorted(self._blocks())
        held = sum(size for _, size, _ in blocks)
        goal = min(self._most - wanted, int(KEPT * self._most))
        for _, _, name in blocks:
            if held <= goal:
                break
            held -= self._remove(name)
        return held

    def _blocks(self) -> Iterator[tuple[int, int, str]]:
        """Yield when each block was last used, its size and its name."""
        with os.scandir(self.folder) as entries:
            for entry in entries:
                if NAME.fullmatch(entry.name):
                    found = entry.stat(follow_symlinks=False)
                    yield found.st_mtime_ns, found.st_size, entry.name
