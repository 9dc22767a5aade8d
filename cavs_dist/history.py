"""Which clips a model has seen: a line an update from every rank, `clips/rank-<r>.jsonl` in the run folder."""

from collections.abc import Sequence
from pathlib import Path

from cavs_dist import distributed
from cavs_dist.log import Log, cut_after
from cavs_dist.outputs import Batch


class ClipHistory:
    """This rank's log of the clips it trained on; the columns of `cavs-dist data order RUN`, as they really were."""

    def __init__(self, folder: Path, resume_update: int | None) -> None:
        """Open the log below the run folder, cut after `resume_update`; files of ranks that are no more are cut too."""
        self._log = Log(folder / "clips" / f"rank-{distributed.rank()}.jsonl", resume_update)
        if distributed.is_first():
            for path in folder.glob("clips/rank-*.jsonl"):
                if int(path.stem.removeprefix("rank-")) >= distributed.world_size():
                    cut_after(path, resume_update)

    def add(self, stage: int, phase: str, update: int, batches: Sequence[Batch]) -> None:
        """Tell of an update that was made; `update` counts all fits of the run, as in `metrics.jsonl`."""
        clips = [pair for batch in batches for pair in zip(batch.keys, batch.from_memory.tolist(), strict=True)]
        keys = [key for key, from_memory in clips if not from_memory]
        exemplars = [key for key, from_memory in clips if from_memory]
        self._log.write({"stage": stage, "phase": phase, "update": update, "keys": keys, "exemplars": exemplars})

    def close(self) -> None:
        """Close the file."""
        self._log.close()
