"""The disk of the run folder: what a run relies on there, tried in a scratch folder that is removed again."""

import fcntl
import os
import shutil
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cavs_dist.doctor.apart import forked
from cavs_dist.doctor.finding import Finding
from cavs_dist.files import whole

CHUNK, MOST = 4 << 20, 64 << 20  # bytes
SPEED_SECONDS, SYNC_SECONDS, SYNCS = 3.0, 2.0, 50
SLOW_SPEED, SLOW_SYNC = 30e6, 0.1  # bytes a second, seconds
SLOW_SIGHT, NO_SIGHT = 0.5, 5.0  # seconds
REPLACEMENTS = 50
SKEW = 2.0  # seconds


@contextmanager
def made(scratch: Path) -> Iterator[Path]:
    """Make the scratch folder for the block."""
    scratch.mkdir()
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch)


def nearest(folder: Path) -> Path:
    """Return the folder itself, or the nearest one above it that exists."""
    return next(path for path in (folder.absolute(), *folder.absolute().parents) if path.is_dir())


def writable(scratch: Path) -> Finding:
    """Check that files can be written and that one takes another's place at once, as checkpoints need."""
    try:
        with made(scratch) as folder:
            torn = _torn(folder / "file")
    except OSError as error:
        return Finding(
            "failed", f"{scratch.parent}: {error.strerror}", "make it writable, free some space, or choose another out="
        )
    if torn:
        return Finding("failed", f"a file was {torn} while another took its place", "choose an out=... on another disk")
    return Finding("ok", f"{scratch.parent} can be written, {REPLACEMENTS} files took another's place unseen")


def _torn(path: Path) -> str:
    """Replace a file again and again while another process reads it; return how that one found it torn."""
    contents = ["a" * 4096, "b" * 4096]
    path.write_text(contents[0])
    verdict = path.with_name("verdict")

    def watch() -> None:
        while True:
            try:
                seen = path.read_text()
            except FileNotFoundError:
                verdict.write_text("gone")
                return
            if seen not in contents:
                verdict.write_text("half-written")
                return

    with forked(watch):
        for number in range(REPLACEMENTS):
            beside = path.with_name("beside")
            beside.write_text(contents[number % 2])
            beside.replace(path)
    return verdict.read_text() if verdict.exists() else ""


def locks(scratch: Path) -> Finding:
    """Check that a lock keeps a second process out, and that it goes with a process that is killed."""
    with made(scratch) as folder:
        file = folder / "lock"
        reading, writing = os.pipe()

        def hold() -> None:
            if _locked(file) is not None:
                os.write(writing, b".")
                time.sleep(3600)

        with forked(hold):
            os.close(writing)
            held = os.read(reading, 1) == b"."
            second = _locked(file)
        os.close(reading)
        freed = _freed(file)
    advice = "mount it with locks (Lustre: -o flock, NFS: without nolock), and start a run only once until then"
    if not held:
        return Finding("failed", "no file can be locked", advice)
    if second is not None:
        return Finding("failed", "two processes held one lock", advice)
    if not freed:
        return Finding("failed", "the lock of a killed process stays", "have the lock service of the server looked at")
    return Finding("ok", "a lock keeps others out, and goes with a killed process")


def _locked(file: Path) -> int | None:
    """Return the descriptor of the file, locked; None where the lock is another's or cannot be had."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _freed(file: Path, patience: float = 2.0) -> bool:
    end = time.monotonic() + patience
    while (found := _locked(file)) is None and time.monotonic() < end:
        time.sleep(0.05)
    if found is not None:
        os.close(found)
    return found is not None


def sight(scratch: Path) -> Finding:
    """Check that another process of this machine sees a new file at once."""
    with made(scratch) as folder:
        file = folder / "new"
        reading, writing = os.pipe()

        def watch() -> None:
            os.write(writing, b".")
            while not file.exists():
                time.sleep(0.001)
            os.write(writing, b".")

        with forked(watch):
            os.close(writing)
            os.read(reading, 1)
            written = time.monotonic()
            file.write_text("here")
            os.read(reading, 1)
            seconds = time.monotonic() - written
        os.close(reading)
    found = f"a new file is seen by another process after {1e3 * seconds:.0f} ms"
    if seconds > SLOW_SIGHT:
        verdict = Finding("failed" if seconds > NO_SIGHT else "warning", found, "mount it without caching of names")
        return verdict
    return Finding("ok", found)


def speed(scratch: Path) -> Finding:
    """Measure how fast the disk takes what is written and synced: at most 64 MB, and a few seconds."""
    with made(scratch) as folder:
        rate = _rate(folder / "large")
        wait = _sync_wait(folder / "small")
    found = f"{rate / 1e6:.0f} MB/s synced, a small file is safe after {1e3 * wait:.1f} ms"
    if rate < SLOW_SPEED:
        return Finding(
            "warning", found, "checkpoints will take long: raise train.checkpoint_every, or choose another out="
        )
    if wait > SLOW_SYNC:
        return Finding("warning", found, "every product waits that long: choose an out=... on a faster disk")
    return Finding("ok", found)


def _rate(file: Path) -> float:
    """Return bytes a second; every chunk is synced, so that none waits in memory."""
    chunk, written, start = os.urandom(CHUNK), 0, time.monotonic()
    with file.open("wb", buffering=0) as opened:
        while written < MOST and time.monotonic() - start < SPEED_SECONDS:
            written += opened.write(chunk)
            os.fsync(opened.fileno())
    return written / max(time.monotonic() - start, 1e-9)


def _sync_wait(file: Path) -> float:
    """Return the median of the seconds in which a product's small file is written as the run writes it."""
    waits: list[float] = []
    start = time.monotonic()
    while len(waits) < SYNCS and time.monotonic() - start < SYNC_SECONDS:
        before = time.monotonic()
        with whole(file) as beside:
            beside.write_text("x" * 1024)
        waits.append(time.monotonic() - before)
    return statistics.median(waits)


def clock(scratch: Path) -> Finding:
    """Check this machine's clock against the one by which the disk stamps files, which may be a server's."""
    with made(scratch) as folder:
        file = folder / "new"
        before = time.time()
        file.write_text("now")
        stamp, after = file.stat().st_mtime, time.time()
    skew = max(before - stamp, stamp - after, 0.0)
    found = f"{time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime(after))} UTC, {skew:.1f} s from the disk's"
    if skew > SKEW:
        return Finding("warning", found, "have both set by NTP: ages of files and heartbeats are wrong otherwise")
    return Finding("ok", found)


def room(folder: Path, needed: float | None) -> Finding:
    """Check the free space, against the `needed` bytes where they are known."""
    usage = shutil.disk_usage(folder)
    found = f"{usage.free / 1e9:.1f} GB free of {usage.total / 1e9:.0f}"
    if needed is not None:
        found += f", the run needs up to {needed / 1e9:.2f} GB"
    if needed is not None and needed > usage.free:
        return Finding("failed", found, "free some space, lower train.checkpoints, or choose another out=...")
    if usage.free < 1e9 or (needed is not None and 2 * needed > usage.free):
        return Finding("warning", found, "free some space, or choose another out=...")
    if _inodes(folder) < 1000:
        return Finding("warning", f"{found}, but only {_inodes(folder)} more files may be made", "remove some files")
    return Finding("ok", found)


def _inodes(folder: Path) -> int:
    """Return how many files may still be made; a disk that does not count them gives many."""
    found = os.statvfs(folder)
    return found.f_favail if found.f_files else 1 << 31
