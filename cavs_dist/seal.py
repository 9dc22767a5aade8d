"""The seal of a checkpoint: what its marker says of its files, and whether they still are so."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cavs_dist import distributed
from cavs_dist.errors import InputError
from cavs_dist.run_folder import NewerFormat, read_json, write_json

MARKER = "position.json"


@dataclass(frozen=True)
class Seal:
    """What a checkpoint is. position: plain values. files: name within the folder -> (bytes, sha256)."""

    position: Mapping[str, Any]
    files: Mapping[str, tuple[int, str]]

    def digest(self) -> str:
        """Return the sha256 of all of it."""
        text = json.dumps([self.position, self.files], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


class Damaged(Exception):
    """A marker is missing, torn or edited; the message says what."""


def fingerprints(folder: Path, files: Iterable[Path]) -> dict[str, tuple[int, str]]:
    """Return size and sha256 of the files that each rank wrote in `folder`, of all ranks together. Collective."""
    mine = {str(file.relative_to(folder)): fingerprint(file) for file in files}
    return {name: found for part in distributed.gather_objects(mine) for name, found in part.items()}


def fingerprint(file: Path) -> tuple[int, str]:
    """Return a file's size and sha256."""
    with file.open("rb") as opened:
        return file.stat().st_size, hashlib.file_digest(opened, "sha256").hexdigest()


def write_seal(folder: Path, seal: Seal) -> None:
    """Write a checkpoint's marker; by rank 0."""
    assert json.loads(json.dumps(seal.position)) == seal.position, "a position holds what JSON gives back alike"
    write_json(folder / MARKER, {"position": seal.position, "files": seal.files, "digest": seal.digest()})


def read_seal(folder: Path) -> Seal:
    """Read a checkpoint's marker; Damaged where it is not as it was written, InputError where it is newer than us."""
    try:
        record = read_json(folder / MARKER)
        seal = Seal(record["position"], {name: (size, digest) for name, (size, digest) in record["files"].items()})
        whole = seal.digest() == record["digest"]
    except NewerFormat:
        raise
    except (InputError, KeyError, TypeError, ValueError, AttributeError) as error:
        reason = "is missing" if not (folder / MARKER).exists() else "was cut short or edited"
        raise Damaged(f"{MARKER} {reason}") from error
    if not whole:
        raise Damaged(f"{MARKER} was edited")
    return seal


def flaw(folder: Path, files: Mapping[str, tuple[int, str]]) -> str:
    """Return what is wrong with the files of `folder`, "" if nothing is; each rank looks at its share. Collective."""
    mine = sorted(files)[distributed.rank() :: distributed.world_size()]
    flaws = [found for name in mine if (found := _flaw(folder / name, name, files[name]))]
    return next((found[0] for found in distributed.gather_objects(flaws) if found), "")


def _flaw(file: Path, name: str, expected: tuple[int, str]) -> str:
    try:
        size, digest = fingerprint(file)
    except OSError as error:
        return f"{name} cannot be read: {error.strerror}"
    if size != expected[0]:
        return f"{name} has {size} bytes, not {expected[0]}"
    return "" if digest == expected[1] else f"{name} was edited"
