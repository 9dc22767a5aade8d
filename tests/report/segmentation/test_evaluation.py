import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cavs_dist.errors import InputError
from cavs_dist.report.read import read_run
from cavs_dist.report.segmentation.evaluation import judged, read_stages

MakeRun = Callable[..., Path]


def edit(run: Path, changes: dict[str, Any]) -> Path:
    path = run / "stages" / "1" / "evaluation.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return run / "stages"


def test_stages_are_read_in_order_with_their_examples(make_run: MakeRun) -> None:
    first, second = read_stages(make_run() / "stages")
    assert first.scores.new == ("dog", "drum")
    assert second.scores.classes == ("background", "dog", "drum", "bird")
    assert second.scores.fscore[-1] is None
    assert second.confusion.diagonal().tolist() == [8, 8, 8, 8]
    assert second.examples is not None
    assert second.examples.keys == ("test-0", "test-1")


def test_an_unfinished_run_has_the_stages_it_has(make_run: MakeRun) -> None:
    run = make_run(stages=1)
    (run / "stages" / "1").mkdir()
    (run / "stages" / "0" / "examples.npz").unlink()
    (stage,) = read_stages(run / "stages")
    assert stage.examples is None
    assert read_stages(run / "nowhere") == ()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"format": 2}, "`format` is 2"),
        ({"stage": 0}, "`stage` is 0"),
        ({"classes": ["dog", "drum", "bird", "background"]}, "begins with background"),
        ({"new": ["drum"]}, "`new`"),
        ({"iou": [0.5, 0.5, 0.5, 2]}, "`iou`"),
        ({"confusion": [[1]]}, "4 x 4"),
        ({"classes": ["background", "drum", "dog", "bird"]}, "different runs"),
    ],
)
def test_an_edited_evaluation_is_refused(make_run: MakeRun, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        read_stages(edit(make_run(), changes))


def test_a_missing_stage_is_refused(make_run: MakeRun) -> None:
    run = make_run()
    (run / "stages" / "0" / "evaluation.json").unlink()
    with pytest.raises(InputError, match=r"stages \[1\]"):
        read_stages(run / "stages")


def test_damaged_or_foreign_examples_are_refused(make_run: MakeRun) -> None:
    run = make_run(stages=1)
    path = run / "stages" / "0" / "examples.npz"
    good = dict(np.load(path))
    bad: list[dict[str, Any]] = [
        {"truth": good["truth"][:1]},
        {"prediction": good["prediction"] + 9},
        {"keys": np.array([{"a": 1}, 2], dtype=object)},
        {"frames": good["frames"].astype(float)},
    ]
    for changes in bad:
        np.savez(path, **(good | changes))
        with pytest.raises(InputError, match=r"examples\.npz"):
            read_stages(run / "stages")
    path.write_bytes(b"PK not a zip")
    with pytest.raises(InputError, match="damaged"):
        read_stages(run / "stages")


def test_a_run_says_how_absent_classes_count(make_run: MakeRun) -> None:
    folder = make_run()
    run = judged(read_run(folder))
    assert (run.absent, run.brought) == ("skip", (("dog", "drum"), ("bird",)))
    (folder / "config.yaml").write_text("evaluate: {absent: maybe}")
    with pytest.raises(InputError, match="absent"):
        judged(read_run(folder))
