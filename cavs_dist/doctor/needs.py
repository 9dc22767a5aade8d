"""What a run would need of this machine, as its config says.

`python -m cavs_dist.doctor.needs CONFIG key=value ...` prints it: torch and DeepSpeed take seconds to import, and the
doctor's other checks do without.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from cavs_dist.doctor.program import Unanswered, ask
from cavs_dist.errors import InputError

LIMIT = 180.0  # seconds; a large index takes its time


@dataclass(frozen=True)
class Needs:
    """out: the run folder. wandb: `track.wandb`. disk: the most bytes that the run keeps in its folder."""

    out: str
    wandb: str
    disk: float


def read_needs(config: str, overrides: Sequence[str]) -> Needs:
    """Ask an interpreter of its own for `needs_of`. InputError where it raises one, Unanswered where it breaks."""
    said = ask((sys.executable, "-m", __name__, config, *overrides), LIMIT)
    try:
        answer = json.loads(said.splitlines()[-1])  # after whatever a library had to say
    except (ValueError, IndexError):
        raise Unanswered(f"it said {said[-80:]!r}") from None
    if "error" in answer:
        raise InputError(answer["error"])
    return Needs(**answer)


def needs_of(config: str, overrides: Sequence[str]) -> Needs:
    """Read a config and the data's index; InputError for whatever `train` would refuse."""
    from cavs_dist.config import load_run
    from cavs_dist.dry_run import disk_bytes
    from cavs_dist.setting import open_setting
    from cavs_dist.start import open_start

    run = load_run(config, overrides)
    setting = open_setting(run)
    open_start(setting)
    return Needs(run.out, run.track.wandb, sum(disk_bytes(setting)))


if __name__ == "__main__":
    try:
        print(json.dumps(asdict(needs_of(sys.argv[1], sys.argv[2:]))))
    except InputError as error:
        print(json.dumps({"error": str(error)}))
