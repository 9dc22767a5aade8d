"""Files written whole or not at all, and one sentence where the disk does not take them."""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from safetensors import SafetensorError

from cavs_dist.errors import InputError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Yield where to write what becomes `path`: beside it, and synced and renamed when the block ends well.

    InputError where the disk does not take it; `path` is then what it was.
    """
    beside = path.with_name(f".{path.name}.tmp")
    with writing(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            yield beside
            sync(beside)
            beside.replace(path)
            sync(path.parent)
        except BaseException:
            with suppress(OSError):
                beside.unlink()
            raise


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what a full, read-only or broken disk raises within the block into an InputError that names `path`."""
    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as error:
        number = disk_error(error)
        if number is None:
            raise
        remedy = "free some space" if number in FULL else "make it writable"
        raise InputError(
            f"{path} cannot be written: {os.strerror(number)}; {remedy} and run the same command again"
        ) from error


def disk_error(error: BaseException | None) -> int | None:
    """Return the operating system's number of what went wrong, if it did: torch and safetensors wrap it."""
    while error is not None:
        if isinstance(error, RuntimeError) and "iostream error" in str(error):
            return errno.ENOSPC  # torch's own stream keeps no number; an open file that takes no more is on a full disk
        if isinstance(error, OSError) and error.errno is not None:
            return error.errno
        if isinstance(error, SafetensorError) and (found := re.search(r"os error (\d+)", str(error))):
            return int(found[1])
        error = error.__cause__ or error.__context__
    return None


def sync(path: Path) -> None:
    """Have the operating system put a file, or a folder's list of names, on its disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
