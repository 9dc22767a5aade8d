"""What becomes of an update whose loss or gradient is not finite: the run stops, or leaves it out within a budget."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from cavs_dist import distributed
from cavs_dist.config import TrainConfig
from cavs_dist.errors import InputError
from cavs_dist.run_folder import read_json, write_json


class NonFinite:
    """The policy of one fit (`train.on_nonfinite`) and its file in the run folder. skipped: the updates left out."""

    def __init__(self, config: TrainConfig, file: Path, stage: int, role: str) -> None:
        self.config, self.file, self.stage, self.role = config, file, stage, role
        self.skipped = 0

    def meet(self, update: int, keys: Sequence[str], terms: Mapping[str, Tensor]) -> None:
        """Write down the clips of such an update, and leave it out or end the run with InputError. Collective.

        keys, terms: this rank's clips and detached loss terms.
        """
        bad = [name for name, term in terms.items() if not term.isfinite()]
        ranks = distributed.gather_objects({"keys": list(keys), "losses": bad})
        event = {"stage": self.stage, "role": self.role, "update": update, "ranks": ranks}
        with distributed.together():
            if distributed.is_first():
                self._write(event)
        found = sorted({name for rank in ranks for name in rank["losses"]})
        what = f"the loss ({', '.join(found)})" if found else "a gradient"
        where = f"{what} of stage {self.stage}, {self.role}, update {update} is not finite"
        if self.config.on_nonfinite == "stop":
            raise InputError(
                f"{where} (its clips by rank: {self.file}); weights were not moved and the last checkpoint is kept: "
                "lower optim.lr, set optim.clip, look at these clips, or leave such updates out by "
                "train.on_nonfinite=skip"
            )
        self.skipped += 1
        if self.skipped > self.config.nonfinite_budget:
            raise InputError(
                f"{where} (its clips by rank: {self.file}), and {self.skipped} updates of this fit were not, more than "
                f"train.nonfinite_budget={self.config.nonfinite_budget}: lower optim.lr, set optim.clip, or look at "
                "these clips"
            )
        if distributed.is_first():
            left = self.config.nonfinite_budget - self.skipped
            print(f"warning: {where}: left out, {left} more may be; clips in {self.file}", file=sys.stderr)

    def _write(self, event: dict[str, Any]) -> None:
        """Add an event to the file, in the place of itself where a run comes by it again."""
        place = ("stage", "role", "update")
        events = read_json(self.file)["events"] if self.file.exists() else []
        others = [other for other in events if [other[key] for key in place] != [event[key] for key in place]]
        write_json(self.file, {"events": [*others, event]})
