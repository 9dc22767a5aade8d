"""The exemplar memory as plain data: the same on all ranks, without a process group."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from cavs_dist.errors import InputError
from cavs_dist.memory.select import Candidate, Select


@dataclass(frozen=True)
class MemoryConfig:
    """The section `memory`.

    select: the rule that chooses a class's exemplars; `none` keeps no memory. per_class: how many.
    total: how many in all, in even shares for the classes seen (what is left over goes to the earliest; lists shrink
    from their end as classes arrive); 0 leaves it to `per_class`.
    multimodal: the model that MSS scores: the run's own (`main`), or one that hears and is trained as the twin is, by
    plain cross-entropy, as CMR's release does (`twin`). unimodal: what it is compared with: the visual-only twin, or
    the multimodal model itself hearing the mean sound (`silence`).
    last: select after the last stage too, where nothing is left to rehearse for.
    payload: where the exemplars' bytes lie: in the run folder, where every rank reads them (`folder`), or each on the
    disk of one rank, which sends it to those that draw it (`exchange`: ranks need not share a file system for it).
    local: the folder of a rank's exemplars under `exchange`, such as one on its node's own disk; empty is the run's.
    cache: MiB of exemplars, as they lie in their shards, that a rank holds in RAM.
    """

    select: Select = "none"
    per_class: int = 5
    total: int = 0
    multimodal: Literal["main", "twin"] = "main"
    unimodal: Literal["twin", "silence"] = "twin"
    last: bool = False
    payload: Literal["folder", "exchange"] = "folder"
    local: str = ""
    cache: int = 256


@dataclass(frozen=True)
class Exemplar:
    """A clip kept for one class, with the score it was chosen by and the stage that it comes from."""

    key: str
    score: float
    stage: int


@dataclass(frozen=True)
class ExemplarMemory:
    """The exemplars of every class, best first. A clip chosen for two classes stands under both, and weighs so."""

    classes: Mapping[str, tuple[Exemplar, ...]] = field(default_factory=dict)

    def admit(
        self, chosen: Mapping[str, tuple[Candidate, ...]], stage: int, quotas: Mapping[str, int]
    ) -> "ExemplarMemory":
        """Return the memory with the chosen clips of new classes, and every list cut at its end to its quota."""
        new = {name: tuple(Exemplar(clip.key, clip.score, stage) for clip in clips) for name, clips in chosen.items()}
        return ExemplarMemory({name: clips[: quotas[name]] for name, clips in {**self.classes, **new}.items()})

    def keys(self, stage: int | None = None) -> list[str]:
        """Return the distinct keys (of one stage's exemplars, or of all), sorted."""
        clips = (clip for clips in self.classes.values() for clip in clips)
        return sorted({clip.key for clip in clips if stage is None or clip.stage == stage})

    def digest(self) -> bytes:
        """Return the SHA-256 of everything in the memory: equal digests, equal memories."""
        return hashlib.sha256(json.dumps(self.to_json(), sort_keys=True).encode()).digest()

    def to_json(self) -> dict[str, Any]:
        """Return the memory as plain values."""
        classes = {name: [[clip.key, clip.score, clip.stage] for clip in clips] for name, clips in self.classes.items()}
        return {"classes": classes}

    @classmethod
    def from_json(cls, record: Any, path: Path) -> "ExemplarMemory":
        """Read what `to_json` made; InputError naming `path` where it is something else."""
        try:
            return cls(
                {
                    str(name): tuple(Exemplar(str(key), float(score), int(stage)) for key, score, stage in clips)
                    for name, clips in record["classes"].items()
                }
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f"{path} is no exemplar memory ({error}): was it edited?") from error
