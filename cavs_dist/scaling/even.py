"""Which numbers of ranks divide an update's slots, and which batch is nearest where they do not."""

from cavs_dist.data.order import refuse_uneven
from cavs_dist.errors import InputError
from cavs_dist.setting import Setting

TRIED = 1000  # multiples of the ranks, on either side


def why_uneven(setting: Setting, batch: int, ranks: int) -> str:
    """Return why `ranks` ranks cannot take updates of `batch` slots, empty if they can."""
    run = setting.run
    accumulated = run.optim.batch // setting.micro_batch
    rehearses = setting.reserved_slots(setting.stages[-1]) > 0
    slots = round(run.rehearse.share * batch) if rehearses else 0
    try:
        if batch % accumulated:
            return f"{accumulated} micro-batches do not divide {batch} slots"
        if rehearses and not slots:
            return f"rehearse.share={run.rehearse.share} of {batch} slots is none"
        refuse_uneven(batch, slots, ranks, accumulated)
    except InputError as error:
        return str(error)
    return ""


def nearest_batch(setting: Setting, batch: int, ranks: int) -> int:
    """Return the batch nearest to `batch` that `ranks` ranks divide; InputError where there is none near it."""
    below = batch // ranks
    tried = [(below + step) * ranks for step in range(-TRIED, TRIED + 1) if below + step > 0]
    for candidate in sorted(tried, key=lambda candidate: (abs(candidate - batch), -candidate)):
        if not why_uneven(setting, candidate, ranks):
            return candidate
    raise InputError(
        f"no batch near {batch} can be cut for {ranks} ranks with rehearse.share={setting.run.rehearse.share}: set it "
        "to a share of few parts, such as 0.25"
    )
