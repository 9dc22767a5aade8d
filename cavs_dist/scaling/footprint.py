"""What a rank holds in its device's memory, by ZeRO stage, as DeepSpeed 0.19 keeps it under this engine.

Weights, gradients and moments are float32: under bf16 only the arithmetic is (`engine.autocast`).
"""

from collections.abc import Mapping
from typing import Literal

from cavs_dist.scaling.size import Size

Zero = Literal[0, 1, 2, 3]
FLOAT = 4  # bytes
BUCKET = 500_000_000  # elements of DeepSpeed's `reduce_bucket_size`, allocated whole in every update from ZeRO 1 on
ALIGNMENT = 2  # elements to a multiple of which every rank's share is filled up


def share_of(trained: int, ranks: int) -> int:
    """Return the parameters whose optimizer a rank keeps from ZeRO 1 on, filled up so that all shares are equal."""
    whole = ALIGNMENT * ranks
    return -(-trained // whole) * ALIGNMENT


def footprint(size: Size, zero: Zero, ranks: int, slots: float) -> dict[str, float]:
    """Return the bytes of each thing that a rank holds at the end of a backward pass over `slots` slots.

    ZeRO 3 cuts the weights too; `engine.zero` does not offer it. Left out: what the device's own libraries hold, and
    the space between blocks.
    """
    share, trained = FLOAT * share_of(size.trained, ranks), FLOAT * size.trained
    fixed = {"teacher": size.teacher, "activations": size.saved * slots}
    if zero == 0:
        return {"weights": size.held, "gradients": trained, "reduction": trained, "moments": 2 * trained, **fixed}
    return {
        "weights": size.held if zero < 3 else size.held - trained + share,
        "master": share,
        "gradients": trained + share if zero == 1 else share,
        "reduction": FLOAT * BUCKET,
        "moments": 2 * share,
        **fixed,
    }


def total(parts: Mapping[str, float]) -> float:
    """Return the sum of a footprint."""
    return sum(parts.values())
