"""What a run would need of this machine, as its config says."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Needs:
    """out: the run folder. wandb: `track.wandb`. disk: the most bytes that the run keeps in its folder."""

    out: str
    wandb: str
    disk: float


def needs_of(config: str, overrides: Sequence[str]) -> Needs:
    """Read a config and the data's index; InputError for whatever `train` would refuse."""
    # Here, since torch and DeepSpeed take seconds to import, and the doctor's other checks do without.
    from cavs_dist.config import load_run
    from cavs_dist.plan import disk_bytes
    from cavs_dist.setting import open_setting
    from cavs_dist.start import open_start

    run = load_run(config, overrides)
    setting = open_setting(run)
    open_start(setting)
    return Needs(run.out, run.track.wandb, sum(disk_bytes(setting)))
