import base64
import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from cavs_dist.report.read import read_run
from cavs_dist.report.segmentation.evaluation import judged
from cavs_dist.report.segmentation.overlay import example_views, painted

MakeRun = Callable[..., Path]
COLOURS = {"dog": "#ff0000", "drum": "#00ff00", "bird": "#0000ff"}


def decode(uri: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))))


def test_a_mask_is_clear_on_background_coloured_inside_and_hatched_where_ignored() -> None:
    mask = np.zeros((20, 20), np.uint8)
    mask[5:15, 5:15] = 2
    mask[:, 18:] = 255
    table = np.zeros((256, 3), np.uint8)
    table[2] = (1, 2, 3)
    image = painted(mask, table)
    assert image[0, 0, 3] == 0
    assert image[10, 10].tolist()[:3] == [1, 2, 3]
    assert 0 < image[10, 10, 3] < image[5, 5, 3] == 255
    assert set(np.unique(image[:, 18:, 3])) == {0, image[10, 10, 3]}


def test_truth_and_each_prediction_lie_over_the_same_frames(make_run: MakeRun) -> None:
    stage = judged(read_run(make_run())).stages[0]
    assert stage.examples is not None
    nothing = replace(stage, examples=replace(stage.examples, prediction=np.zeros((2, 3, 8, 8), np.uint8)))
    clips = example_views({"cmr": stage, "mib": nothing}, COLOURS)
    assert [clip.key for clip in clips] == ["test-0", "test-1"]
    truth, cmr, mib = clips[0].rows
    assert (truth.label, cmr.label, mib.label) == ("truth", "cmr", "mib")
    assert (truth.classes, mib.classes, clips[0].classes) == (("drum",), (), {"drum"})
    assert (clips[0].count, clips[0].width, clips[0].height) == (3, 360, 120)
    strip = decode(truth.mask)
    assert strip.shape == (120, 360, 4)
    assert strip[60, 60, :3].tolist() == [0, 255, 0]
    assert decode(mib.mask)[:, :, 3].max() == 0
    assert decode(clips[0].frames).shape == (120, 360, 3)


def test_a_long_clip_shows_five_frames_and_a_run_without_examples_no_row(make_run: MakeRun) -> None:
    stage = judged(read_run(make_run())).stages[0]
    assert stage.examples is not None
    long = {name: np.repeat(getattr(stage.examples, name), 4, axis=1) for name in ("frames", "truth", "prediction")}
    view = example_views(
        {"mib": replace(stage, examples=None), "cmr": replace(stage, examples=replace(stage.examples, **long))}, COLOURS
    )[0]
    assert view.count == 5
    assert [row.label for row in view.rows] == ["truth", "cmr"]
