"""Agree on the exemplars of all ranks: ceil(log2 W) rounds, in each of which a rank sends one shortlist.

In the round of distance d a rank receives what the d ranks up to rank - d have merged (the dissemination pattern of
Hensgen, Finkel and Manber, 1988). Where W is no power of two some candidates come twice, which the merge does not mind.
"""

from collections.abc import Iterator

import torch

from cavs_dist import distributed
from cavs_dist.memory.admission import Admission
from cavs_dist.memory.select import Candidate
from cavs_dist.memory.shortlist import Shortlist


def hops(world: int) -> Iterator[int]:
    """Yield the distance of each round: 1, 2, 4 ... below `world`."""
    distance = 1
    while distance < world:
        yield distance
        distance *= 2


def synchronize(admission: Admission) -> dict[str, tuple[Candidate, ...]]:
    """Return the clips chosen from what was offered to any rank, the same on all ranks. Collective.

    Every rank's admission has the same rule and quotas. Raises InputError naming ranks that did not come to the same.
    """
    longest = max((len(place.key.encode()) for places in admission.places.values() for place in places), default=1)
    held = Shortlist.of(admission, distributed.largest_over_ranks(longest))
    for distance in hops(distributed.world_size()):
        held = held.merged(held.from_bytes(swap(held.to_bytes(), distance)))
    distributed.refuse_unequal(held.digest(), "selection")
    return held.chosen(list(admission.quotas))


def swap(data: bytes, distance: int) -> bytes:
    """Send `data` to the rank `distance` ahead and return what the rank as far behind sends, as long. Collective."""
    mine = torch.frombuffer(bytearray(data), dtype=torch.uint8).to(distributed.device())
    return distributed.shift(mine, distance).cpu().numpy().tobytes()
