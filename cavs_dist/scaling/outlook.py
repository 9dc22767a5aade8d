"""All that `cavs-dist plan` has to say of a run, as values."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, get_args

from cavs_dist.scaling.even import nearest_batch, why_uneven
from cavs_dist.scaling.footprint import Zero, footprint, total
from cavs_dist.scaling.forecast import Forecast, Load, efficiency, forecast, slot_seconds, where_it_stops
from cavs_dist.scaling.rates import Known
from cavs_dist.scaling.size import Size, measure_size
from cavs_dist.scaling.traffic import collision_bytes, exchanged_bytes, merge_bytes, update_traffic
from cavs_dist.scaling.work import Work, count_work, with_batch
from cavs_dist.setting import Setting


@dataclass(frozen=True)
class Row:
    """One number of ranks. uneven: why the config's batch does not fit them, empty if it does; `batch` does.

    updates: of the whole run. memory: bytes a rank by ZeRO stage, by part. sent: bytes of gradients, weights and
    norms that a rank sends in an update. merged: bytes that it sends to agree on the exemplars of the stage with most.
    rehearsed: bytes of exemplars that all ranks read in an update, or under `exchange` that one sends. collisions:
    bytes of collisions handed to all-reduces, before a stage and in an update.
    """

    ranks: int
    uneven: str
    batch: int
    updates: int
    memory: Mapping[int, Mapping[str, float]]
    sent: float
    merged: int
    rehearsed: float
    collisions: tuple[int, float]
    forecast: Forecast
    efficiency: float

    @property
    def hours(self) -> float:
        """How long all updates take: no evaluation, no scoring."""
        return self.updates * self.forecast.seconds / 3600


@dataclass(frozen=True)
class Outlook:
    """The run on each number of GPUs. last, beyond: where it stops, as `where_it_stops` found out.

    most: the largest number of ranks that the config's batch can be cut for.
    """

    size: Size
    work: Work
    known: Known
    zero: int
    half: bool
    slot_seconds: float
    exchange: bool
    rows: tuple[Row, ...]
    last: Forecast
    beyond: Forecast | None
    most: int

    def as_tree(self) -> dict[str, Any]:
        """Return it all as plain values, for JSON."""
        tree = asdict(self)
        tree["parameters"] = self.size.parameters
        tree["work"]["updates"] = self.work.updates
        for row, made in zip(self.rows, tree["rows"], strict=True):
            made["hours"] = row.hours
            made["memory_total"] = {zero: total(parts) for zero, parts in row.memory.items()}
            made["forecast"] |= _found(row.forecast)
        tree["last"] |= _found(self.last)
        return tree


def _found(one: Forecast) -> dict[str, float | str]:
    return {"seconds": one.seconds, "throughput": one.throughput, "bound": one.bound}


def look_ahead(setting: Setting, known: Known, gpus: Sequence[int], weak: bool) -> Outlook:
    """Work out a run on each number of GPUs. weak: `optim.batch` is for the first of them, and grows with the rest."""
    size, run = measure_size(setting), setting.run
    half, rates = run.engine.precision != "fp32", known.rates
    load = Load(run, size, count_work(setting), half)
    batch = run.optim.batch
    rows: list[Row] = []
    for ranks in gpus:
        wanted = batch * ranks // gpus[0] if weak else batch
        rows.append(_row(setting, load, known, ranks, wanted, rows[0].forecast if rows else None))
    even = [ranks for ranks in range(1, batch + 1) if batch % ranks == 0 and not why_uneven(setting, batch, ranks)]
    last, beyond = where_it_stops(load, rates, gpus[0] if weak else 0)
    return Outlook(
        size=size,
        work=load.work,
        known=known,
        zero=run.engine.zero,
        half=half,
        slot_seconds=slot_seconds(load, rates),
        exchange=run.memory.payload == "exchange",
        rows=tuple(rows),
        last=last,
        beyond=beyond,
        most=max(even, default=1),
    )


def _row(setting: Setting, load: Load, known: Known, ranks: int, wanted: int, first: Forecast | None) -> Row:
    uneven = why_uneven(setting, wanted, ranks)
    batch = nearest_batch(setting, wanted, ranks) if uneven else wanted
    accumulated = setting.run.optim.batch // setting.micro_batch
    setting = with_batch(setting, batch, batch // accumulated if setting.run.engine.micro_batch else 0)
    work = count_work(setting) if batch != load.run.optim.batch else load.work
    load = Load(setting.run, load.size, work, load.half)
    found = forecast(load, known.rates, ranks, batch)
    rehearsed = work.rehearsed * work.clips
    exchange = setting.run.memory.payload == "exchange"
    return Row(
        ranks=ranks,
        uneven=uneven,
        batch=batch,
        updates=work.updates,
        memory={zero: footprint(load.size, zero, ranks, batch / accumulated / ranks) for zero in get_args(Zero)},
        sent=update_traffic(load.size, setting.run.engine.zero, ranks, accumulated).sent(ranks),
        merged=max(
            merge_bytes(stage.classes, stage.places, work.key, ranks) * (stage.places > 0) for stage in work.stages
        ),
        rehearsed=exchanged_bytes(rehearsed, work.clip_bytes, ranks) if exchange else rehearsed * work.clip_bytes,
        collisions=collision_bytes(work.stages[-1].labels, setting.run.rehearse),
        forecast=found,
        efficiency=1.0 if first is None else efficiency(first, found),
    )
