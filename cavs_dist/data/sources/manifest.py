"""From listed recordings to shards, and the manifest that says what was used and why something was not."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from cavs_dist.data.clip import Rejected
from cavs_dist.data.remote.catalogue import write_catalogue
from cavs_dist.data.shard import write_shards
from cavs_dist.data.write import Make
from cavs_dist.errors import InputError
from cavs_dist.progress import progress

FORMAT = 1


class Listed(Protocol):
    """A recording as a layout lists it."""

    @property
    def key(self) -> str:
        """The key of its clip."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes heard."""

    def fingerprint(self) -> list[object]:
        """Return all that its clip depends on, but for the bytes of its files, of which the sizes stand in."""


One = TypeVar("One", bound=Listed)


@dataclass(frozen=True)
class Manifest:
    """The outcome of a conversion, by split: keys of all `listed` recordings, those `rejected` and why.

    silent: keys of used recordings with no class heard; their clips belong to no stage.
    """

    source: str
    listed: Mapping[str, tuple[str, ...]]
    rejected: Mapping[str, tuple[Rejected, ...]]
    silent: tuple[str, ...]

    def used(self, split: str) -> list[str]:
        """Return the keys of the clips that are in the split's shards, in order."""
        out = {clip.key for clip in self.rejected[split]}
        return [key for key in self.listed[split] if key not in out]

    def __str__(self) -> str:
        counts = {split: (len(self.used(split)), len(keys)) for split, keys in self.listed.items()}
        present, total = (sum(column) for column in zip(*counts.values(), strict=True))
        parts = ", ".join(f"{split} {used} of {listed}" for split, (used, listed) in counts.items())
        return f"{present} of {total} present ({parts}); {len(self.silent)} of them with no known class"


def convert_recordings(
    source: str,
    splits: Mapping[str, Sequence[One]],
    out: Path,
    names: Mapping[int, str],
    make: Make[One],
    *,
    workers: int,
    clips_per_shard: int,
    settings: str,
) -> Manifest:
    """Write the shards of all `splits` and `manifest.json` into `out`; say how much of it was present.

    make: see `write_shards`. settings: all that it depends on besides a recording, as text. The plan of the shards
    holds every file's size: what was whole is kept when this is run again, and a split of which a file was repaired
    is made anew. InputError if not a single recording could be used.
    """
    rejected = {
        split: write_shards(
            out,
            split,
            recordings,
            make,
            names,
            clips_per_shard=clips_per_shard,
            workers=workers,
            what=f"{split} clips",
            plan=_plan(source, split, recordings, settings),
        )
        for split, recordings in splits.items()
    }
    manifest = _manifest(source, splits, rejected)
    _write(manifest, out / "manifest.json")
    write_catalogue(out)
    print(f"{source}: {manifest}; see {out / 'manifest.json'}")
    if not any(manifest.used(split) for split in splits):
        reasons = [f"{clip.key}: {clip.reason}" for clips in rejected.values() for clip in clips]
        raise InputError(f"none of the {len(reasons)} recordings can be used; the first is {reasons[0]}")
    return manifest


def _plan(source: str, split: str, recordings: Sequence[Listed], settings: str) -> str:
    """Digest all that the clips depend on, but for the bytes of the files, of which the sizes stand in."""
    digest = hashlib.sha256(f"{source} {settings}".encode())
    for one in progress(recordings, f"{split} files listed", len(recordings)):
        digest.update(json.dumps(one.fingerprint()).encode())
    return digest.hexdigest()


def _manifest(
    source: str, splits: Mapping[str, Sequence[Listed]], rejected: Mapping[str, tuple[Rejected, ...]]
) -> Manifest:
    out = {clip.key for clips in rejected.values() for clip in clips}
    return Manifest(
        source,
        listed={split: tuple(one.key for one in recordings) for split, recordings in splits.items()},
        rejected=rejected,
        silent=tuple(
            one.key for recordings in splits.values() for one in recordings if not one.classes and one.key not in out
        ),
    )


def _write(manifest: Manifest, path: Path) -> None:
    """Write the manifest, whole or not at all: counts first, then reasons, then every key that was used."""
    record = {
        "format": FORMAT,
        "source": manifest.source,
        "summary": str(manifest),
        "splits": {
            split: {"listed": len(keys), "used": len(manifest.used(split))} for split, keys in manifest.listed.items()
        },
        "rejected": {
            split: {clip.key: clip.reason for clip in clips} for split, clips in manifest.rejected.items() if clips
        },
        "no_known_class": list(manifest.silent),
        "used": {split: manifest.used(split) for split in manifest.listed},
    }
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(json.dumps(record, indent=1) + "\n")
    temporary.replace(path)
