import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cavs_dist.curriculum import Stage
from cavs_dist.errors import InputError
from cavs_dist.models.co_separation import CoSeparationConfig
from cavs_dist.models.unet import UNetConfig
from cavs_dist.outputs.separation import Batch
from cavs_dist.report.read import read_run
from cavs_dist.report.separation.evaluation import SeparationRun, judged
from cavs_dist.tasks.separation import Separation
from cavs_dist.tasks.separation.evaluate import EvaluateConfig
from cavs_dist.tasks.separation.model import ModelConfig

MakeRun = Callable[..., Path]


def read(folder: Path) -> SeparationRun:
    return judged(read_run(folder))


def edit(folder: Path, changes: dict[str, Any], stage: int = 1) -> Path:
    path = folder / "stages" / str(stage) / "evaluation.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return folder


def test_stages_are_read_in_order_with_their_examples(make_run: MakeRun) -> None:
    run = read(make_run())
    assert (run.rate, run.brought) == (8000, (("dog", "drum"), ("bird",)))
    last = run.stages[1]
    assert (last.classes, last.protocol) == (("dog", "drum", "bird"), "overlapped")
    assert last.record["sdr"] == (3.0, 3.0, 8.0)
    assert len(last.record["mixtures"]) == 9
    assert last.record["mixtures"][3]["classes"] == (0, 2)
    assert last.examples is not None and last.examples.frames is not None
    assert last.examples.keys[1] == ("test-1-a", "test-1-b")
    assert last.examples.truth.shape == (2, 2, 2048)


def test_what_the_task_writes_is_what_is_read(make_run: MakeRun) -> None:
    folder = make_run(stages=1)
    small = ModelConfig("co_separation", co_separation=CoSeparationConfig(UNetConfig(5, 4, 8, "group"), objects=8))
    task, stage = Separation(small, EvaluateConfig(), 0), Stage(0, ("dog", "drum"), ("dog", "drum"))
    torch.manual_seed(0)
    batch = Batch(
        keys=("a", "b"),
        from_memory=torch.zeros(2, dtype=torch.bool),
        waveforms=0.1 * torch.randn(2, 16383),
        frames=torch.zeros(2, 3, 3, 32, 32),
        objects=torch.empty(2, 0),
        motion=torch.empty(2, 0),
        classes=torch.tensor([0, 1]),
        videos=torch.tensor([1, 2]),
        weight=torch.ones(2),
        memory_weight=torch.zeros(2),
    )
    task.save_examples(task.make_model("main", [stage], "zero"), batch, folder / "stages" / "0" / "examples.npz")
    examples = read(folder).stages[0].examples
    assert examples is not None and examples.frames is not None
    assert np.allclose(examples.truth[0], batch.waveforms.numpy(), atol=1e-3)
    assert examples.masks.shape == (1, 2, *examples.spectrogram.shape[1:])
    assert examples.frames.shape == (1, 2, 32, 32, 3)


def test_a_run_has_the_stages_it_has_and_examples_need_no_frames(make_run: MakeRun) -> None:
    folder = make_run()
    (folder / "stages" / "0" / "examples.npz").unlink()
    path = folder / "stages" / "1" / "examples.npz"
    np.savez(path, **{name: array for name, array in np.load(path).items() if name != "frames"})
    first, last = read(folder).stages
    assert first.examples is None
    assert last.examples is not None and last.examples.frames is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"format": 2}, "`format` is 2"),
        ({"new": ["drum"]}, "`new`"),
        ({"classes": ["drum", "dog", "bird"]}, "different runs"),
        ({"sdr": [1.0, 2.0]}, "`sdr` .* 3 numbers"),
        ({"floor": [1.0, 2.0, 201.0]}, "`floor`"),
        ({"left_out": -1}, "`left_out`"),
        ({"protocol": None}, "`protocol`"),
        ({"mixtures": [3]}, "`mixtures` .* list of objects"),
        ({"mixtures": [{"sdr": [1.0, None]}]}, "`mixtures` 0: `sdr`"),
    ],
)
def test_an_edited_evaluation_is_refused(make_run: MakeRun, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        read(edit(make_run(), changes))


def test_a_mixture_of_a_class_that_is_not_known_is_refused(make_run: MakeRun) -> None:
    folder = make_run()
    mixtures = json.loads((folder / "stages" / "1" / "evaluation.json").read_text())["mixtures"]
    mixtures[4]["classes"] = [0, 3]
    with pytest.raises(InputError, match=r"`mixtures` 4: `classes` .* from 0 to 2"):
        read(edit(folder, {"mixtures": mixtures}))


@pytest.mark.parametrize("rate", ["-8000", "11025.5", "500", "9" * 30, "²"])
def test_a_rate_that_no_player_has_is_refused(make_run: MakeRun, rate: str) -> None:
    folder = make_run()
    text = (folder / "config.yaml").read_text().replace("8000", f"'{rate}'")
    (folder / "config.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"data\.mix\.rate"):
        read(folder)


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("truth", lambda array: array[:1], "do not fit together"),
        ("estimates", lambda array: array[:, :, :-1], "do not fit together"),
        ("masks", lambda array: array[..., :-1], "do not fit together"),
        ("spectrogram", lambda array: array[0], "do not fit together"),
        ("keys", lambda array: array[:, 0], "do not fit together"),
        ("classes", lambda array: array.astype(float), "do not fit together"),
        ("classes", lambda array: array + 5, "none of the stage's 3 classes"),
        ("estimates", lambda array: array * np.float16("nan"), "not finite"),
        ("frames", lambda array: array.astype(float), "`frames`"),
        ("keys", lambda array: np.array([[{}, 1], [2, 3]], dtype=object), "damaged"),
    ],
)
def test_foreign_examples_are_refused(
    make_run: MakeRun, name: str, change: Callable[[np.ndarray], np.ndarray], said: str
) -> None:
    folder = make_run()
    path = folder / "stages" / "1" / "examples.npz"
    arrays = dict(np.load(path))
    np.savez(path, **(arrays | {name: change(arrays[name])}))
    with pytest.raises(InputError, match=rf"examples\.npz.*{said}"):
        read(folder)
