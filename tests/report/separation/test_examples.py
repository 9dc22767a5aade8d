import base64
import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from cavs_dist.colour_map import colour_map
from cavs_dist.report.read import read_run
from cavs_dist.report.separation.evaluation import Examples, SeparationRun, judged
from cavs_dist.report.separation.examples import drawn, mixture_views

MakeRun = Callable[..., Path]


@pytest.fixture
def run(make_run: MakeRun) -> SeparationRun:
    return judged(read_run(make_run()))


def hear(uri: str) -> np.ndarray:
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(uri.split(",")[1])))
    assert rate == 8000
    return samples * 32768 / 32000


def kept(run: SeparationRun) -> Examples:
    examples = run.stages[-1].examples
    assert examples is not None
    return examples


def with_examples(run: SeparationRun, **changes: object) -> SeparationRun:
    last = run.stages[-1]
    return replace(run, stages=(*run.stages[:-1], replace(last, examples=replace(kept(run), **changes))))


def test_all_sounds_of_a_mixture_have_one_volume(run: SeparationRun) -> None:
    view = mixture_views({"a": run}, 1, 4)[0]
    assert (view.keys, view.seconds) == (("test-0-a", "test-0-b"), 2048 / 8000)
    truth, estimates = (array[0].astype(float) for array in (kept(run).truth, kept(run).estimates))
    loudest = np.abs(truth.sum(axis=0)).max()
    assert np.abs(hear(view.mixture.audio) - truth.sum(axis=0) / loudest).max() < 1e-3
    for number, source in enumerate(view.sources):
        assert np.abs(hear(source.truth.audio) - truth[number] / loudest).max() < 1e-3
        assert np.abs(hear(source.estimates[0].audio) - estimates[number] / loudest).max() < 1e-3


def test_a_better_estimate_has_a_higher_sdr_than_the_mixture(run: SeparationRun) -> None:
    perfect = with_examples(run, estimates=(0.999 * kept(run).truth + 0.01 * kept(run).truth[:, ::-1]))
    silent = with_examples(run, estimates=0 * kept(run).truth)
    for source in mixture_views({"a": run, "b": perfect, "c": silent}, 1, 1)[0].sources:
        middling, better, nothing = (heard.sdr for heard in source.estimates)
        assert source.floor is not None and middling is not None and better is not None
        # The estimate is 0.8 of the source and 0.1 of the other, about as loud: 20 log10(8) = 18 dB.
        assert source.floor == pytest.approx(0, abs=2)
        assert middling == pytest.approx(18, abs=2)
        assert better == pytest.approx(40, abs=2)
        assert nothing is None


def test_a_mixture_that_several_runs_kept_is_shown_once(run: SeparationRun) -> None:
    moved = with_examples(run, keys=(*kept(run).keys[:1], ("x", "y")))
    views = mixture_views({"a": run, "b": moved, "c": replace(run, rate=9000)}, 1, 9)
    found = [(view.keys[0], [heard.label for heard in view.sources[0].estimates]) for view in views]
    assert found[:3] == [("test-0-a", ["a", "b"]), ("test-1-a", ["a"]), ("x", ["b"])]
    assert len(views) == 5
    other = with_examples(run, truth=-kept(run).truth)
    assert len(mixture_views({"a": run, "b": other}, 1, 9)) == 4
    assert len(mixture_views({"a": run, "b": moved}, 1, 2)) == 2


def test_what_is_not_there_is_not_shown(run: SeparationRun) -> None:
    assert mixture_views({"a": replace(run, stages=run.stages[:1])}, 1, 4) == []
    bare = with_examples(run, frames=None, truth=0 * kept(run).truth, estimates=0 * kept(run).truth)
    (source, _) = mixture_views({"a": bare}, 1, 1)[0].sources
    assert (source.frame, source.floor) == (None, None)
    assert not hear(source.truth.audio).any()


def test_frequency_goes_upwards_from_dark_to_light() -> None:
    values = np.linspace(0, 1, 300 * 20).reshape(300, 20)
    image = Image.open(io.BytesIO(base64.b64decode(drawn(values).split(",")[1]))).convert("RGB")
    assert image.size == (20, 128)
    assert np.abs(np.asarray(image)[-1, 0].astype(int) - colour_map()[0]).max() < 8
    assert np.abs(np.asarray(image)[0, -1].astype(int) - colour_map()[-1]).max() < 8
    assert drawn(values * 9 - 4) != drawn(values)
