"""What two runs are compared by: digests of a checkpoint's contents, and of everything in a finished run folder."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from cavs_dist.engine_files import running_nothing
from cavs_dist.run_folder import read_json
from cavs_dist.seal import MARKER, Damaged, fingerprint, read_seal

# Where a run lies and who ran it.
PERSONAL = ("config.yaml", "environment.json", "lock")
# What of a line in metrics.jsonl depends on the hour, or on the machine.
TIMES = ("seconds", "wait", "health/")


@dataclass(frozen=True)
class Checkpoint:
    """A whole checkpoint: its name, the updates its fit has made, and the digest of all that it holds."""

    name: str
    stage: int
    role: str
    update: int
    digest: str


def newest_checkpoint(folder: Path) -> Checkpoint | None:
    """Return the checkpoint that a run would go on from, if there is a whole one; not collective."""
    for path in sorted(folder.glob("[0-9]*"), reverse=True):
        with suppress(Damaged):
            seal = read_seal(path)
            if all(fingerprint(path / name) == known for name, known in seal.files.items()):
                at = seal.position
                return Checkpoint(path.name, at["stage"], at["role"], at["update"], _digest_of_contents(path))
    return None


def products(run: Path) -> dict[str, str]:
    """Return the digest of every file of a finished run, by name; of the metrics without times and health.

    Weights, memory with its shards, collisions, thresholds, evaluations, the history of clips; also whatever lies
    there that should not.
    """
    files = (path for path in sorted(run.rglob("*")) if path.is_file() and path.name not in PERSONAL)
    return {str(path.relative_to(run)): hashlib.sha256(_timeless(path)).hexdigest() for path in files}


def differences(known: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    """Return one sentence for every name that is missing, too many, or of other content than known."""
    verdicts = ((name, known.get(name), found.get(name)) for name in sorted({*known, *found}))
    return [
        f"{name} {'is missing' if here is None else 'should not be there' if there is None else 'differs'}"
        for name, there, here in verdicts
        if there != here
    ]


def digest(contents: Mapping[str, str]) -> str:
    """Return one digest of many."""
    return hashlib.sha256(json.dumps(contents, sort_keys=True).encode()).hexdigest()


def _timeless(path: Path) -> bytes:
    if path.name != "metrics.jsonl":
        return path.read_bytes()
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return json.dumps([{key: line[key] for key in line if not key.startswith(TIMES)} for line in lines]).encode()


def _digest_of_contents(checkpoint: Path) -> str:
    """Digest weights, optimizer state, counts and position: what files hold, for torch's own bytes may vary."""
    total = hashlib.sha256()
    for path in sorted(path for path in checkpoint.rglob("*") if path.is_file()):
        total.update(str(path.relative_to(checkpoint)).encode())
        for part in _parts(_read(path)):
            total.update(len(part).to_bytes(8, "little") + part)
    return total.hexdigest()


def _read(path: Path) -> Any:
    if path.suffix == ".pt":
        with running_nothing():
            return torch.load(path, "cpu", weights_only=True)
    if path.suffix == ".safetensors":
        return load_file(path)
    if path.name == MARKER:
        return read_json(path)["position"]  # the rest of it is about the files' bytes
    return path.read_bytes()


def _parts(value: Any) -> Iterator[bytes]:
    """Yield a value's parts in order, as bytes."""
    if isinstance(value, torch.Tensor):
        yield f"{value.dtype} {tuple(value.shape)}".encode()
        yield value.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
    elif isinstance(value, dict):
        yield f"{len(value)} entries".encode()
        for key, child in value.items():
            yield repr(key).encode()
            yield from _parts(child)
    elif isinstance(value, (list, tuple)):
        yield f"{len(value)} items".encode()
        for child in value:
            yield from _parts(child)
    else:
        yield value if isinstance(value, bytes) else repr(value).encode()
