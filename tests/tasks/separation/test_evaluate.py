from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cavs_dist.curriculum import Stage
from cavs_dist.metrics.bss import bss_eval
from cavs_dist.metrics.si_sdr import si_sdr
from cavs_dist.outputs.separation import Batch
from cavs_dist.tasks.base import evaluating
from cavs_dist.tasks.separation import Separation
from cavs_dist.tasks.separation.evaluate import Scores, record, score, summarise, validate

FIRST, SECOND = Stage(0, ("a", "b"), ("a", "b")), Stage(1, ("c",), ("a", "b", "c"))


def rows(*pairs: tuple[int, int], **changes: Tensor) -> Scores:
    """Mixtures of classes; mixture m has SDR 10 m of its first source and 10 m + 1 of its second."""
    count = len(pairs)
    base = 10 * torch.arange(count, dtype=torch.float64)[:, None, None]
    values = base + torch.tensor([0.0, 1.0]) + torch.tensor([0.0, 100, 200, -5, 50])[None, :, None]
    names = torch.tensor([(10 + 2 * m, 11 + 2 * m, *pair) for m, pair in enumerate(pairs)])
    none = torch.zeros(count, 2, dtype=torch.bool)
    return replace(Scores(names, values, none, none, none[:, 0]), **changes)


def test_scores_are_means_over_a_class_s_sources() -> None:
    told = record(rows((0, 1), (0, 1), (1, 2)), SECOND, "count")
    assert told["sdr"] == [5.0, (1 + 11 + 20) / 3, 21.0] and told["floor"][0] == 0.0
    assert told["classes"] == ["a", "b", "c"] and told["new"] == ["c"] and told["left_out"] == told["flagged"] == 0
    assert told["mixtures"][2]["classes"] == [1, 2] and told["mixtures"][2]["sir"] == [120.0, 121.0]
    assert record(rows((0, 1)), SECOND, "count")["sdr"] == [0.0, 1.0, None]


def test_silent_estimates_count_or_are_left_out_and_silent_sources_always_are() -> None:
    silent, void = torch.tensor([[False, True], [False, False]]), torch.tensor([False, True])
    scores = rows((0, 1), (0, 1), silent=silent, void=void)
    counted, skipped = (record(scores, FIRST, rule) for rule in ("count", "skip"))
    assert len(counted["mixtures"]) == 1 and counted["left_out"] == 1 and counted["sdr"] == [0.0, 1.0]
    assert skipped["mixtures"] == [] and skipped["left_out"] == 2 and skipped["sdr"] == [None, None]
    assert summarise([skipped])["sdr"] is None


def test_the_summary() -> None:
    before, after = record(rows((0, 1), (0, 1)), FIRST, "count"), record(rows((0, 1), (1, 2)), SECOND, "count")
    before["sdr"], after["sdr"] = [5.0, 6.0], [1.0, 8.0, 3.0]
    found = summarise([before, after])
    assert found["sdr"] == pytest.approx((0.5 + 10.5) / 2) and found["first"] == 4.5 and found["new"] == 3.0
    assert found["forgetting"] == pytest.approx(((5 - 1) + (6 - 8)) / 2)
    assert found["average"] == pytest.approx((5.5 + 5.5) / 2)
    assert found["gain"] == pytest.approx(5.0) and found["gain_low"] == pytest.approx(5.0)
    assert found["ceiling"] == pytest.approx(55.5) and summarise([before])["forgetting"] is None


def test_the_order_of_rows_does_not_depend_on_who_has_them() -> None:
    one = rows((0, 1), (0, 1), (1, 0))
    turned = Scores(*(values.flip(0) for values in vars(one).values()))
    for here, there in zip(vars(one.of_all_ranks()).values(), vars(turned.of_all_ranks()).values(), strict=True):
        assert here.equal(there)


class Leaks(nn.Module):
    """Gives half of each source to the other."""

    def forward(self, batch: Batch) -> Any:
        ones = torch.ones(len(batch.keys) // 2, 2, 4, 4)
        return type("Outputs", (), {"masks": ones, "sources": ones, "mixture": ones[:, :1]})

    def estimates(self, batch: Batch, masks: Tensor) -> Tensor:
        return batch.sources + 0.5 * batch.sources.flip(1)


def test_scores_are_bss_eval_s_beside_the_mixture_s(batches: list[Batch]) -> None:
    scores = score(Leaks(), batches)
    sources = torch.cat([batch.sources for batch in batches])
    found = bss_eval(sources, sources + 0.5 * sources.flip(1))
    floor = bss_eval(sources, sources + sources.flip(1))
    torch.testing.assert_close(scores.values[:, 0], found.sdr)
    torch.testing.assert_close(scores.values[:, 1], found.sir)
    torch.testing.assert_close(scores.values[:, 3], floor.sdr)
    assert scores.names[:, 2:].tolist() == [[0, 1]] * 3 and not scores.void.any()
    expected = si_sdr(sources, sources + 0.5 * sources.flip(1)).mean()
    assert validate(Leaks(), batches) == pytest.approx(float(expected))


def test_the_ceiling_is_far_above_the_floor_on_real_mixtures(task: Separation, batches: list[Batch]) -> None:
    model = task.make_model("main", [FIRST], "random")
    with evaluating(model):
        told = record(score(model, batches), FIRST, "count")
    assert len(told["mixtures"]) + told["left_out"] == 3
    means = summarise([told])
    assert means["ceiling"] is not None and means["floor"] is not None and means["ceiling"] > means["floor"] + 3
    for mixture in told["mixtures"]:
        assert sum(mixture["ceiling"]) > sum(mixture["floor"])
