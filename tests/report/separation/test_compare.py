import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from cavs_dist.metrics.bootstrap import interval_of_mean
from cavs_dist.report.read import read_run
from cavs_dist.report.separation.compare import differences, in_words, same_mixtures
from cavs_dist.report.separation.evaluation import SeparationRun, StageResult, judged

MakeRun = Callable[..., Path]


def with_mixtures(stage: StageResult, change: Callable[[int, dict], None]) -> StageResult:
    mixtures = copy.deepcopy(stage.record["mixtures"])
    for number, mixture in enumerate(mixtures):
        change(number, mixture)
    return replace(stage, record={**stage.record, "mixtures": mixtures})


@pytest.fixture
def run(make_run: MakeRun) -> SeparationRun:
    return judged(read_run(make_run()))


def test_the_better_run_comes_first_with_the_interval_of_paired_differences(run: SeparationRun) -> None:
    gaps = [-0.5, 2.0, 0.25, 1.0, -1.0, 3.0, 1.5, 2.5, 0.0]

    def better(number: int, mixture: dict) -> None:
        mixture["sdr"] = (mixture["sdr"][0] + 2 * gaps[number], mixture["sdr"][1])

    other = replace(run, stages=(run.stages[0], with_mixtures(run.stages[1], better)))
    ((names, found),) = differences({"a": run, "b": other}).items()
    assert names == ("b", "a")
    assert found is not None
    assert found == pytest.approx((sum(gaps) / 9, *interval_of_mean(gaps), 9))
    assert found.low > 0
    assert in_words(*names, found).startswith("b separates better than a: by 0.97 dB SDR on the same 9 mixtures (95 % ")


def test_an_interval_that_holds_zero_may_be_chance(run: SeparationRun) -> None:
    def sometimes(number: int, mixture: dict) -> None:
        mixture["sdr"] = (mixture["sdr"][0] + (-1) ** number, mixture["sdr"][1])

    other = replace(run, stages=(run.stages[0], with_mixtures(run.stages[1], sometimes)))
    ((names, found),) = differences({"a": run, "b": other}).items()
    assert found is not None and found.low <= 0
    assert "cannot be told apart" in in_words(*names, found) and "interval −0." in in_words(*names, found)


def test_only_one_list_of_mixtures_is_compared(run: SeparationRun) -> None:
    last = run.stages[1]

    def nearly(_: int, mixture: dict) -> None:
        mixture["floor"] = tuple(value + 1e-7 for value in mixture["floor"])

    def louder(number: int, mixture: dict) -> None:
        mixture["floor"] = tuple(value + 0.1 * (number == 8) for value in mixture["floor"])

    def swapped(_: int, mixture: dict) -> None:
        mixture["classes"] = mixture["classes"][::-1]

    fewer = replace(last, record={**last.record, "mixtures": last.record["mixtures"][:-1]})
    renamed = replace(last, classes=("dog", "drum", "hen"))
    assert same_mixtures(last, with_mixtures(last, nearly))
    for other in (with_mixtures(last, louder), with_mixtures(last, swapped), fewer, renamed, run.stages[0]):
        assert not same_mixtures(last, other)
    found = differences({"a": run, "b": replace(run, stages=run.stages[:1]), "c": replace(run, stages=())})
    assert found == {("a", "b"): None}
    assert "not judged on the same mixtures" in in_words("a", "b", None)
