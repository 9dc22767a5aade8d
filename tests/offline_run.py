"""Read back what W&B wrote offline: LevelDB's framing of a log around the records of wandb.proto."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wandb.proto import wandb_internal_pb2

BLOCK, HEADER = 32768, 7  # of a block; of the file, and of each chunk: checksum 4, length 2, kind 1
FULL, LAST = 1, 4


@dataclass(frozen=True)
class OfflineRun:
    """What one start of a run left. rows: what was logged, step by step. exit_code: None where the end is missing."""

    folder: Path
    raw: bytes
    run: Any
    config: dict[str, Any]
    rows: list[dict[str, Any]]
    artifacts: list[Any]
    metrics: list[Any]
    preempting: bool
    exit_code: int | None

    def scalars(self, name: str) -> dict[int, Any]:
        """The numbers called `name`, by their update."""
        return {row["update"]: row[name] for row in self.rows if name in row}

    def last(self, name: str) -> Any:
        """What was logged last under a name."""
        return [row[name] for row in self.rows if name in row][-1]

    def file(self, name: str) -> Path:
        """Where a medium lies."""
        return self.folder / "files" / name

    def table(self, name: str) -> Any:
        """The table that was logged last under a name."""
        return json.loads(self.file(self.last(name)["path"]).read_text())


def read_offline(run_folder: Path) -> list[OfflineRun]:
    """Every start of a run, the first first."""
    return [read_one(path) for path in sorted(run_folder.glob("wandb/offline-run-*"))]


def read_one(folder: Path) -> OfflineRun:
    [path] = folder.glob("*.wandb")
    raw = b"".join(payloads(path.read_bytes()))
    records = [wandb_internal_pb2.Record.FromString(payload) for payload in payloads(path.read_bytes())]

    def of(kind: str) -> list[Any]:
        return [getattr(record, kind) for record in records if record.WhichOneof("record_type") == kind]

    [run] = of("run")
    exits = [one.exit_code for one in of("exit")]
    return OfflineRun(
        folder=folder,
        raw=raw,
        run=run,
        config=nested(run.config.update),
        rows=[nested(one.item) for one in of("history")],
        artifacts=of("artifact"),
        metrics=of("metric"),
        preempting=bool(of("preempting")),
        exit_code=exits[0] if exits else None,
    )


def payloads(data: bytes) -> Iterator[bytes]:
    place, payload = HEADER, b""
    while place + HEADER <= len(data):
        left = BLOCK - place % BLOCK
        if left < HEADER:
            place += left
            continue
        length, kind = int.from_bytes(data[place + 4 : place + 6], "little"), data[place + 6]
        payload += data[place + HEADER : place + HEADER + length]
        place += HEADER + length
        if kind in (FULL, LAST):
            yield payload
            payload = b""


def nested(items: Iterable[Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for item in items:
        *path, name = item.nested_key or [item.key]
        branch = tree
        for part in path:
            branch = branch.setdefault(part, {})
        branch[name] = json.loads(item.value_json)
    return tree
