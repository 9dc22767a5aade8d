"""What ranks send each other: bytes handed to a collective, and bytes that a rank then sends along a ring."""

from dataclasses import dataclass

from cavs_dist.data.rehearse import RehearseConfig
from cavs_dist.memory.synchronize import hops
from cavs_dist.scaling.footprint import FLOAT, Zero, share_of
from cavs_dist.scaling.size import Size

COUNT = 8  # bytes of a collision's counter, and of a candidate's score


@dataclass(frozen=True)
class Traffic:
    """What one rank hands to the collectives of one update, bytes, and how many of these are small.

    reduced: to all-reduces of gradients. gathered: what all-gathers of weights return. statistics: to all-reduces of
    the norms' sums. messages: all-reduces of a few bytes, each of which costs latency and hardly anything else.
    """

    reduced: int
    gathered: int
    statistics: int
    messages: int

    def sent(self, ranks: int) -> float:
        """Return the bytes that a rank sends: 2 (W - 1) / W of what a ring reduces, (W - 1) / W of what it gathers."""
        away = (ranks - 1) / ranks
        return away * (2 * (self.reduced + self.statistics) + self.gathered)


def update_traffic(size: Size, zero: Zero, ranks: int, micro_batches: int) -> Traffic:
    """Return what an update hands over. DeepSpeed reduces whole gradients at every ZeRO stage, and gathers weights.

    At ZeRO 2 and 3 it reduces after every micro-batch, else once. At ZeRO 3 it would gather weights for every forward
    and backward pass in turn.
    """
    times = micro_batches if zero >= 2 else 1
    gathers = {0: 0, 1: 1, 2: 1, 3: 2 * micro_batches}[zero] if ranks > 1 else 0
    gathered = gathers * ranks * FLOAT * share_of(size.trained, ranks)
    # Forward: a count, sums, squares; backward: the slopes of the last two.
    statistics = micro_batches * sum(FLOAT * (1 + 4 * channels) for channels in size.norms)
    # The weights of frames, whether all is finite, and the gradient's norm.
    messages = micro_batches * 5 * len(size.norms) + 2 + (zero > 0)
    return Traffic(times * FLOAT * size.trained, gathered, statistics, messages)


def merge_bytes(classes: int, places: int, key: int, ranks: int) -> int:
    """Return the bytes that a rank sends to agree on a stage's exemplars: a shortlist in each of ceil(log2 W) rounds.

    classes: of the stage. places: most exemplars of a class. key: bytes of the longest.
    """
    return len(list(hops(ranks))) * classes * max(places, 1) * (COUNT + key)


def collision_bytes(labels: int, config: RehearseConfig) -> tuple[int, float]:
    """Return the bytes of collisions handed to all-reduces before a stage of `labels` labels, and in each update.

    Before a stage the table of pairs is summed whether or not anything counted into it.
    """
    online = config.weight == "collision" and config.count == "online"
    return COUNT * labels * labels, COUNT * (config.every + labels) * labels / config.every if online else 0.0


def exchanged_bytes(exemplars: float, clip: float, ranks: int) -> float:
    """Return the bytes that a rank sends in an update of `exemplars` rehearsed clips, lying anywhere, to the others."""
    return exemplars / ranks * clip * (ranks - 1) / ranks
