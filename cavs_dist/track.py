"""What a run says while it runs: `metrics.jsonl` always, Weights & Biases and the history of clips when asked."""

import json
import math
import sys
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from cavs_dist import distributed
from cavs_dist.data.clip import IGNORED
from cavs_dist.errors import Interrupted
from cavs_dist.history import ClipHistory
from cavs_dist.log import Log
from cavs_dist.outputs import Batch
from cavs_dist.profiling import ProfileConfig

Scalar = float | int | str


@dataclass(frozen=True)
class TrackConfig:
    """Where numbers go besides `metrics.jsonl`.

    wandb: `off`, `offline` (files below the run folder, sent later by `wandb sync`) or `online` (needs an account).
    project, name, group: as W&B shows the run; an empty name is the run folder's, an empty group is none.
    every: updates between two lines of training scalars. clips: whether every rank tells the keys of the clips that it
    trains on, in `clips/rank-<r>.jsonl`, an update a line. profile: which updates are traced.
    """

    wandb: Literal["off", "offline", "online"] = "off"
    project: str = "cavs_dist"
    name: str = ""
    group: str = ""
    every: int = 10
    clips: bool = False
    profile: ProfileConfig = field(default_factory=ProfileConfig)


class Track:
    """The log of one run folder; on every rank but the first, all of it but `clips` does nothing.

    A failure of W&B never stops a run: it is said once, and `metrics.jsonl` goes on alone. A folder is one W&B run
    however often it is resumed; W&B keeps what was logged between the restored update and the crash, the file does not.
    """

    def __init__(
        self, folder: Path, config: TrackConfig, run_config: Mapping[str, Any], *, resume_update: int | None
    ) -> None:
        """Open the log, cut after `resume_update`, the last update that the restored state knows (None: start anew)."""
        self._writes = distributed.is_first()
        self._run: Any = None
        self._update = resume_update or 0
        self._history = ClipHistory(folder, resume_update) if config.clips else None
        if not self._writes:
            return
        self._metrics = Log(folder / "metrics.jsonl", resume_update)
        if config.wandb != "off":
            self._wandb(lambda: self._start(folder, config, run_config))

    def scalars(self, values: Mapping[str, Scalar]) -> None:
        """Write one line now; W&B gets the numbers, named `phase/key`, over the latest `update`.

        An event that was told just before a crash is not told again.
        """
        if not self._writes:
            return
        self._update = int(values.get("update", self._update))
        if not self._metrics.write({key: _finite(value) for key, value in values.items()}):
            return
        phase = f"{values['phase']}/" if "phase" in values else ""
        numbers = {key: value for key, value in values.items() if not isinstance(value, str) and key != "update"}
        self._log(lambda _: {phase + key: value for key, value in numbers.items()})

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

        def pictures(wandb: Any) -> dict[str, Any]:
            def mask(labelled: NDArray[np.uint8], clip: int) -> dict[str, Any]:
                return {"mask_data": labelled[clip, middle], "class_labels": labels}

            return {
                name: [
                    wandb.Image(
                        frames[clip, middle],
                        masks={"truth": mask(truth, clip), "prediction": mask(prediction, clip)},
                        caption=f"clip {clip}",
                    )
                    for clip in range(len(frames))
                ]
            }

        self._log(pictures)

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Scalar | None]]) -> None:
        """Show a table in W&B, such as the IoU of each class after each stage."""
        self._log(lambda wandb: {name: wandb.Table(columns=list(columns), data=[list(row) for row in rows])})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        """Close the logs of a run that has ended or was stopped; W&B itself notes one that failed."""
        if kind is None or issubclass(kind, Interrupted):
            self.close()

    def close(self) -> None:
        """Finish all logs; W&B's file is whole only after this."""
        if self._history is not None:
            self._history.close()
        if not self._writes:
            return
        self._metrics.close()
        if self._run is not None:
            self._wandb(self._finish)

    def _start(self, folder: Path, config: TrackConfig, run_config: Mapping[str, Any]) -> None:
        import wandb

        # Statistics and metadata would send the command line, host and user names; the console holds them too.
        settings = wandb.Settings(
            mode=config.wandb,
            x_disable_stats=True,
            x_disable_meta=True,
            x_disable_machine_info=True,
            save_code=False,
            console="off",
        )
        self._run = wandb.init(
            project=config.project,
            name=config.name or folder.resolve().name,
            group=config.group or None,
            id=_run_id(folder / "wandb.json"),
            resume="allow",
            dir=folder,
            config=dict(run_config),
            settings=settings,
        )
        self._run.define_metric("update", hidden=True)
        self._run.define_metric("*", step_metric="update")

    def _log(self, make: Callable[[Any], Mapping[str, Any]]) -> None:
        """Send what `make` makes of the wandb module, if there is a W&B run."""
        if self._run is None:
            return

        def send() -> None:
            import wandb

            self._run.log({"update": self._update, **make(wandb)})

        self._wandb(send)

    def _finish(self) -> None:
        import wandb

        self._run.finish()
        # `finish` can return before the offline file is whole.
        wandb.teardown()

    def _wandb(self, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception as error:
            self._run = None
            print(f"warning: W&B failed ({error}); from here on only metrics.jsonl is written", file=sys.stderr)


def _finite(value: Scalar) -> Scalar | None:
    """Return null for NaN and the infinities, which JSON has no words for."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _run_id(path: Path) -> str:
    """Return the W&B run id of a folder, the same at every start."""
    if not path.exists():
        path.write_text(json.dumps({"id": uuid.uuid4().hex[:8]}) + "\n", encoding="utf-8")
    return str(json.loads(path.read_text(encoding="utf-8"))["id"])
