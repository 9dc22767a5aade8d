"""Judge a separator by mixtures: BSS-eval of each source, beside the mixture itself and the best that a mask can do."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from cavs_dist import distributed
from cavs_dist.curriculum import Stage
from cavs_dist.losses.separate import ratio_masks
from cavs_dist.metrics.bootstrap import interval_of_mean
from cavs_dist.metrics.bss import bss_eval
from cavs_dist.metrics.si_sdr import si_sdr
from cavs_dist.outputs.separation import Batch
from cavs_dist.tasks.separation.labels import Pairs

SCORES = ("sdr", "sir", "sar", "floor", "ceiling")


@dataclass(frozen=True)
class EvaluateConfig:
    """The section `evaluate`.

    batch: mixtures that a rank reads at once. pairs: which test clips are mixed, `clean`, every two classes seen, or
    as the `paper` does. mixtures: of every two classes (`clean`). silent: whether a mixture whose estimate is silent
    counts, with -200 dB, or is left out (`skip`, as ContAV-Sep was released); one with a silent source is left out.
    """

    batch: int = 4
    pairs: Pairs = "clean"
    mixtures: int = 10
    silent: Literal["count", "skip"] = "count"


@dataclass
class Scores:
    """One row a mixture: names [M, 4] int64, its two clips' and their classes' numbers; values [M, 5, 2] float64, the
    SCORES of its two sources; flagged [M, 2] bool, values not to be relied on; silent [M, 2] bool, of an estimate, and
    void [M] bool, whether a source is silent."""

    names: Tensor
    values: Tensor
    flagged: Tensor
    silent: Tensor
    void: Tensor

    def of_all_ranks(self) -> "Scores":
        """Return every rank's rows, in an order that does not depend on ranks. Collective."""
        gathered = [distributed.gather_rows(values) for values in vars(self).values()]
        order = sorted(range(len(gathered[0])), key=lambda row: gathered[0][row].tolist())
        return Scores(*(values[order] for values in gathered))


def score(model: nn.Module, batches: Iterable[Batch]) -> Scores:
    """Return the scores of this rank's mixtures."""
    rows = [_score(model, batch) for batch in batches]
    device = distributed.device()
    empty = (
        torch.zeros(0, 4, dtype=torch.int64, device=device),
        torch.zeros(0, len(SCORES), 2, dtype=torch.float64, device=device),
        *(torch.zeros(0, *shape, dtype=torch.bool, device=device) for shape in ((2,), (2,), ())),
    )
    parts = zip(empty, *(vars(row).values() for row in rows), strict=True)
    return Scores(*(torch.cat(part) for part in parts))


def _score(model: Any, batch: Batch) -> Scores:
    """Score a batch: estimates, the mixture in their place, and what ratio masks of the true sources would give."""
    outputs = model(batch)
    references = batch.sources
    estimates = model.estimates(batch, outputs.masks)
    best = model.estimates(batch, ratio_masks(outputs.sources, outputs.mixture))
    mixture = references.sum(dim=1, keepdim=True).expand_as(references)
    # In one call, which takes little longer for three than for one.
    every = bss_eval(references.repeat(3, 1, 1), torch.cat((estimates, mixture, best)))
    (sdr, floor, ceiling), (sir, *_), (sar, *_), (flagged, *_), _ = (part.chunk(3) for part in every)
    return Scores(
        names=torch.cat((batch.videos.view(-1, 2), batch.classes.view(-1, 2)), dim=1),
        values=torch.stack((sdr, sir, sar, floor, ceiling), dim=1),
        flagged=flagged,
        silent=(estimates == 0).all(dim=2),
        void=(references == 0).all(dim=2).any(dim=1),
    )


def record(scores: Scores, stage: Stage, silent: Literal["count", "skip"]) -> dict[str, Any]:
    """Turn the scores of all ranks into a record ready for JSON.

    Scores by class are means over the sources of that class, None where there is none; `mixtures` holds each mixture's
    classes and scores.
    """
    left = ~(scores.void | (scores.silent.any(dim=1) & (silent == "skip")))
    values, classes = scores.values[left], scores.names[left, 2:]
    by_class = {
        name: [_mean(values[:, number][classes == position]) for position in range(len(stage.seen))]
        for number, name in enumerate(SCORES)
    }
    return {
        "stage": stage.index,
        "classes": list(stage.seen),
        "new": list(stage.new),
        **by_class,
        "left_out": int((~left).sum()),
        "flagged": int(scores.flagged[left].sum()),
        "mixtures": [
            {"classes": pair, **dict(zip(SCORES, of_mixture, strict=True))}
            for pair, of_mixture in zip(classes.tolist(), values.tolist(), strict=True)
        ],
    }


def summarise(records: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    """Return the metrics after the last stage, in dB.

    Means over sources, then mixtures: `sdr`, `sir`, `sar`, the mixture's own SDR as `floor`, ratio masks' as `ceiling`;
    `gain` over the floor with the bootstrap interval of its mean. `first`: the SDR of the first stage's classes, and
    `new` that of later ones. `average`: of `sdr` over stages. `forgetting`: the mean over earlier stages' classes of
    the best SDR after an earlier stage minus the last.
    """
    last = records[-1]
    means = {name: _mean_of([sum(one[name]) / 2 for one in last["mixtures"]]) for name in SCORES}
    gains = [(sum(one["sdr"]) - sum(one["floor"])) / 2 for one in last["mixtures"]]
    low, high = interval_of_mean(gains)
    num_first = len(records[0]["classes"])
    averages = [_mean_of([sum(one["sdr"]) / 2 for one in record["mixtures"]]) for record in records]
    return {
        **means,
        "gain": _mean_of(gains),
        "gain_low": low,
        "gain_high": high,
        "first": _mean_of(last["sdr"][:num_first]),
        "new": _mean_of(last["sdr"][num_first:]),
        "average": _mean_of(averages),
        "forgetting": _mean_of(_forgotten(records)),
    }


def validate(model: Any, batches: Iterable[Batch]) -> float:
    """Return the mean SI-SDR of all ranks' mixtures, dB: cheaper than BSS-eval. Collective."""
    total = torch.zeros(2, dtype=torch.float64, device=distributed.device())
    for batch in batches:
        references = batch.sources
        found = si_sdr(references, model.estimates(batch, model(batch).masks))
        total += torch.stack((found.sum(), torch.tensor(float(found.numel()), device=found.device).double()))
    sums, count = distributed.sum_over_ranks(total).tolist()
    return float(sums / max(count, 1.0))


def _forgotten(records: Sequence[Mapping[str, Any]]) -> list[float | None]:
    """Return for each class of earlier stages its best SDR after one of them minus the last."""
    if len(records) == 1:
        return []
    last, forgotten = records[-1]["sdr"], []
    for position in range(len(records[-2]["classes"])):
        before = [each["sdr"][position] for each in records[:-1] if position < len(each["sdr"])]
        known = [value for value in before if value is not None]
        if known and last[position] is not None:
            forgotten.append(max(known) - last[position])
    return forgotten


def _mean(values: Tensor) -> float | None:
    return float(values.mean()) if len(values) else None


def _mean_of(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
