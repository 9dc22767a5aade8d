"""What a run says while it runs: `metrics.jsonl` always, Weights & Biases and the history of clips when asked."""

import json
import math
import re
import sys
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from cavs_dist import distributed, stop
from cavs_dist.dashboard.disclose import disclosed
from cavs_dist.dashboard.messages import Artifact, Cell, End, Media, Picture, Row, Sound, Start, Table
from cavs_dist.dashboard.offline import sync_command, unsent
from cavs_dist.dashboard.sender import Sender
from cavs_dist.data.clip import IGNORED
from cavs_dist.errors import Interrupted
from cavs_dist.history import ClipHistory
from cavs_dist.log import Log
from cavs_dist.outputs import Batch
from cavs_dist.profiling import ProfileConfig

Scalar = float | int | str
STOPPED_PATIENCE = 15.0  # seconds: who stops a run often kills it half a minute later


@dataclass(frozen=True)
class TrackConfig:
    """Where numbers go besides `metrics.jsonl`.

    wandb: `off`, `offline` (files below the run folder, sent later by `wandb sync`) or `online` (needs an account; what
    a server that does not answer would get is kept as offline). project, name, group: as W&B shows the run; an empty
    name is the run folder's, an empty group is none. artifacts: what of the run W&B keeps: `none`, the `weights` kept
    after each stage, or `all`, which names the shards too, by size and sha256 (their bytes are not sent).
    patience: seconds that W&B may take to begin, and to end.
    every: updates between two lines of training scalars. clips: whether every rank tells the keys of the clips that it
    trains on, in `clips/rank-<r>.jsonl`, an update a line. profile: which updates are traced.
    """

    wandb: Literal["off", "offline", "online"] = "off"
    project: str = "cavs_dist"
    name: str = ""
    group: str = ""
    artifacts: Literal["none", "weights", "all"] = "none"
    patience: float = 60.0
    every: int = 10
    clips: bool = False
    profile: ProfileConfig = field(default_factory=ProfileConfig)


class Track:
    """The log of one run folder; on every rank but the first, all of it but `clips` does nothing.

    W&B runs in a process of its own and never stops or slows a run: what it cannot take is dropped, and said. A folder
    is one W&B run however often it is resumed; its step is the update, so what is told again after a crash is known.
    """

    def __init__(
        self, folder: Path, config: TrackConfig, run_config: Mapping[str, Any], *, resume_update: int | None
    ) -> None:
        """Open the log, cut after `resume_update`, the last update that the restored state knows (None: start anew)."""
        self._writes = distributed.is_first()
        self._folder, self._config = folder, config
        self._wandb: Sender | None = None
        self.run_id = ""  # of W&B, where it is told anything
        self._update = resume_update or 0
        self._staged = -1  # the update whose stage W&B knows
        self._history = ClipHistory(folder, resume_update) if config.clips else None
        if not self._writes:
            return
        self._metrics = Log(folder / "metrics.jsonl", resume_update)
        if config.wandb != "off":
            self.run_id = _run_id(folder / "wandb.json")
            self._wandb = Sender(_start(folder, config, run_config, self.run_id))

    def scalars(self, values: Mapping[str, Scalar]) -> None:
        """Write one line now; W&B gets its numbers at the latest `update`: `stage`, and the others as `phase/key`.

        An event that was told just before a crash is not told again.
        """
        if not self._writes:
            return
        self._update = int(values.get("update", self._update))
        if not self._metrics.write({key: _finite(value) for key, value in values.items()}):
            return
        self._show(Row(self._update, self._numbers(values)))

    def clips(self, stage: int, phase: str, update: int, batches: Sequence[Batch]) -> None:
        """Tell which clips this rank took in an update, if that is asked for. Collective."""
        if self._history is not None:
            with distributed.together():
                self._history.add(stage, phase, update, batches)

    def masks(
        self,
        name: str,
        frames: NDArray[np.uint8],
        truth: NDArray[np.uint8],
        prediction: NDArray[np.uint8],
        classes: Sequence[str],
    ) -> None:
        """Show each clip's middle frame under its two masks, in W&B.

        frames: [E, T, H, W, 3]. truth, prediction: [E, T, H, W]; label i is `classes[i]`, 255 is ignored.
        """
        labels = {**dict(enumerate(classes)), IGNORED: "ignored"}
        middle = frames.shape[1] // 2
        self.media(
            name,
            [
                Picture(f"clip {clip}", shown[middle], {"truth": true[middle], "prediction": said[middle]}, labels)
                for clip, (shown, true, said) in enumerate(zip(frames, truth, prediction, strict=True))
            ],
        )

    def media(self, name: str, items: Sequence[Picture | Sound]) -> None:
        """Show pictures, or let hear sounds, in W&B."""
        self._show(Media(self._update, name, items))

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
        """Show a table in W&B, such as the IoU of each class after each stage."""
        self._show(Table(self._update, name, columns, rows))

    def artifact(self, artifact: Artifact) -> None:
        """Have W&B keep what the run made, or name what it used."""
        self._show(artifact)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        """Close the logs of a run that has ended, was stopped, or failed."""
        if kind is None:
            self.close()
        elif issubclass(kind, Interrupted):
            self._close(End(stop.EXIT_CODE, preempted=True, patience=min(self._config.patience, STOPPED_PATIENCE)))
        else:
            self._close(End(1, preempted=False, patience=min(self._config.patience, STOPPED_PATIENCE)))

    def close(self) -> None:
        """Finish all logs; W&B's file is whole only after this."""
        self._close(End(0, preempted=False, patience=self._config.patience))

    def _close(self, end: End) -> None:
        if self._history is not None:
            self._history.close()
        if not self._writes:
            return
        self._metrics.close()
        if self._wandb is not None:
            whole = self._wandb.finish(end)
            if folders := unsent(self._folder, self.run_id, online=self._wandb.online and not whole):
                print(f"W&B: send this run with: {sync_command(folders)}", flush=True)

    def _numbers(self, values: Mapping[str, Scalar]) -> dict[str, float | int]:
        """Return what W&B gets of a line; of an update whose stage was told, what follows may be the next stage's."""
        phase = f"{values['phase']}/" if "phase" in values else ""
        known = ("update", "stage") if self._update == self._staged else ("update",)
        self._staged = self._update
        return {
            key if key == "stage" else phase + key: value
            for key, value in values.items()
            if not isinstance(value, str) and key not in known
        }

    def _show(self, message: Row | Table | Media | Artifact) -> None:
        if self._wandb is not None:
            self._wandb.send(message)


def _start(folder: Path, config: TrackConfig, run_config: Mapping[str, Any], run_id: str) -> Start:
    tags = tuple(str(run_config[name]["name"]) for name in ("task", "method") if name in run_config)
    assert config.wandb != "off"
    return Start(
        folder=folder.resolve(),
        mode=config.wandb,
        project=config.project,
        name=config.name or folder.resolve().name,
        group=config.group,
        job_type="train",
        tags=tags,
        id=run_id,
        config=disclosed({name: section for name, section in run_config.items() if name != "slurm"}),
        patience=config.patience,
    )


def _finite(value: Scalar) -> Scalar | None:
    """Return null for NaN and the infinities, which JSON has no words for."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _run_id(path: Path) -> str:
    """Return the W&B run id of a folder, the same at every start; where it was spoilt, a new one, and say so."""
    try:
        found = str(json.loads(path.read_text(encoding="utf-8"))["id"])
        if re.fullmatch(r"[A-Za-z0-9_-]{1,64}", found):
            return found
        raise ValueError
    except FileNotFoundError:
        pass
    except (OSError, ValueError, KeyError, TypeError):
        print(f"warning: {path} holds no W&B run id: this becomes a new W&B run", file=sys.stderr)
    run_id = uuid.uuid4().hex[:8]
    path.write_text(json.dumps({"id": run_id}) + "\n", encoding="utf-8")
    return run_id
