"""Who holds a run folder: asked of the lock itself, which is not taken for it."""

import fcntl
import os
import platform
import struct
from dataclasses import dataclass
from pathlib import Path

from cavs_dist.jobs.files import read_text, shown

# struct flock of 64-bit Linux: kind and whence (16 bits each), start and length (64 bits), the holder's process.
FLOCK = "hhqqi4x"


@dataclass(frozen=True)
class Holder:
    """alive: whether a process holds the lock, as seen from this machine. who: what the last holder wrote of itself."""

    alive: bool
    who: str

    @property
    def elsewhere(self) -> bool:
        """Whether the last holder was on another machine, whose locks are not seen on every file system."""
        host = self.who.rpartition(" on ")[2]
        return bool(host) and host != platform.node()


def holder(folder: Path) -> Holder:
    """Return who holds a run folder, or held it last; an empty name where nobody ever did.

    Not for a process that holds the folder itself: closing the file would free it.
    """
    lock = folder / "lock"
    return Holder(_is_held(lock), shown(read_text(lock)))


def _is_held(lock: Path) -> bool:
    try:
        descriptor = os.open(lock, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        # Whether a lock for reading could be had, which is one that a file open for reading may ask about.
        asked = struct.pack(FLOCK, fcntl.F_RDLCK, os.SEEK_SET, 0, 0, 0)
        kind = struct.unpack(FLOCK, fcntl.fcntl(descriptor, fcntl.F_GETLK, asked))[0]
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return bool(kind != fcntl.F_UNLCK)
