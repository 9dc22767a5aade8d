"""How long an update takes on so many GPUs, part by part, and from where on more of them help little.

Nothing overlaps but reading and decoding, which go on while the device computes: DeepSpeed reduces gradients after the
backward pass, since `overlap_comm` is off.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from cavs_dist.config import Run
from cavs_dist.scaling.rates import Rates
from cavs_dist.scaling.size import Size
from cavs_dist.scaling.traffic import exchanged_bytes, update_traffic
from cavs_dist.scaling.work import Work

MOST = 1 << 20  # ranks
HALF = 0.5


@dataclass(frozen=True)
class Load:
    """What a run asks of machines, whatever their number. half: whether the arithmetic is in bf16."""

    run: Run
    size: Size
    work: Work
    half: bool


@dataclass(frozen=True)
class Forecast:
    """An update of `batch` slots on `ranks` ranks. parts: seconds of each thing that it waits for, in turn.

    feeding: seconds that its data takes meanwhile, in the workers and from the storage.
    """

    ranks: int
    batch: int
    parts: Mapping[str, float]
    feeding: Mapping[str, float]

    @property
    def seconds(self) -> float:
        """How long an update takes."""
        return max(sum(self.parts.values()), *self.feeding.values())

    @property
    def throughput(self) -> float:
        """Slots a second."""
        return self.batch / self.seconds

    @property
    def bound(self) -> str:
        """What takes longest, named."""
        return self._longest(self.parts)

    @property
    def loss(self) -> str:
        """What, beside the slots' own computation, takes longest, named."""
        return self._longest({name: seconds for name, seconds in self.parts.items() if name != "compute"})

    def _longest(self, parts: Mapping[str, float]) -> str:
        slowest = max(self.feeding, key=self.feeding.__getitem__)
        if self.feeding[slowest] >= sum(self.parts.values()):
            return slowest
        return max(parts, key=parts.__getitem__)


def slot_seconds(load: Load, rates: Rates) -> float:
    """Return how long a device takes for a slot: as given or measured, else from its FLOP."""
    peak = rates.flops16 if load.half else rates.flops32
    return rates.slot_seconds or load.size.flop / (peak * rates.utilisation)


def forecast(load: Load, rates: Rates, ranks: int, batch: int) -> Forecast:
    """Work out an update of `batch` slots, as if `ranks` divided it."""
    run, work = load.run, load.work
    accumulated = run.optim.batch // (run.engine.micro_batch or run.optim.batch)
    traffic = update_traffic(load.size, run.engine.zero, ranks, accumulated)
    bandwidth = rates.inside if ranks <= rates.node else rates.between
    rehearsed = work.rehearsed * batch / run.optim.batch * work.clips
    exchanged = exchanged_bytes(rehearsed, work.clip_bytes, ranks) if run.memory.payload == "exchange" else 0.0
    steps = 2 * math.ceil(math.log2(ranks))
    clips = batch * work.clips
    decode = rates.decode or (rates.pixels / work.pixels if work.pixels else math.inf)
    return Forecast(
        ranks=ranks,
        batch=batch,
        parts={
            "compute": batch / ranks * slot_seconds(load, rates),
            "update": rates.update_seconds,
            "gradients": traffic.sent(ranks) / bandwidth + 2 * steps * rates.latency * (ranks > 1),
            "small sums": traffic.messages * steps * rates.latency,
            "exemplars": exchanged / bandwidth,
            "order": batch * rates.draw,
        },
        feeding={
            "decode": clips / ranks / decode / max(run.data.workers, 1),
            "read": clips * work.clip_bytes / rates.storage,
        },
    )


def efficiency(one: Forecast, other: Forecast) -> float:
    """Return the throughput a rank of `other`, as a share of that of `one`."""
    return (other.throughput / other.ranks) / (one.throughput / one.ranks)


def where_it_stops(load: Load, rates: Rates, weak_from: int = 0) -> tuple[Forecast, Forecast | None]:
    """Return the most ranks, by doubling, of which each does at least half of what one alone would, and twice as many.

    weak_from: the ranks that `optim.batch` is for, where the batch grows with them; 0 to keep the batch. The second is
    None where the batch has no slots, or the count no numbers, for so many.
    """
    first = good = forecast(load, rates, 1, _batch(load, 1, weak_from))
    while 2 * good.ranks <= min(MOST, batch := _batch(load, 2 * good.ranks, weak_from)):
        found = forecast(load, rates, 2 * good.ranks, batch)
        if efficiency(first, found) < HALF:
            return good, found
        good = found
    return good, None


def _batch(load: Load, ranks: int, weak_from: int) -> int:
    batch = load.run.optim.batch
    return max(1, batch * ranks // weak_from) if weak_from else batch
