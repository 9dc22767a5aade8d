import getpass
import math
import platform
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from cavs_dist.dashboard.messages import Artifact, End, Media, Picture, Reference, Row, Sound, Start, Table
from cavs_dist.dashboard.sender import Sender
from tests.offline_run import OfflineRun, read_offline


@pytest.fixture
def shown(begin: Callable[..., Start], tmp_path: Path) -> OfflineRun:
    """One of everything, told and read back."""
    pixels = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    truth = np.array([[0, 1], [255, 1]], np.uint8).repeat(2, 0).repeat(2, 1)
    labels = {0: "background", 1: "dog", 255: "ignored"}
    weights = tmp_path / "stages/0/main.safetensors"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"weights")
    sender = Sender(begin())
    for message in (
        Row(1, {"stage": 0, "main/loss": 0.5}),
        Row(2, {"stage": 0, "main/loss": math.nan}),
        Media(2, "examples", [Picture("a clip", pixels, {"truth": truth, "prediction": truth.T}, labels)]),
        Media(2, "sounds", [Sound("a bell", np.linspace(-1, 1, 80, dtype=np.float32), 8000)]),
        Media(2, "spectrograms", [Picture("its spectrogram", pixels)]),
        Table(2, "collisions/stage 1", ("old class", "N_a"), [("dog", 3), ("cat", None)]),
        Artifact("weights-abcd1234", "weights", {weights.name: weights}, {}, ("stage-0",), {"stage": 0}),
        Artifact("shards-1", "shards", {}, {"train-000000.tar": Reference(9, "ab" * 32)}, used=True),
    ):
        sender.send(message)
    sender.finish(End(0, preempted=False, patience=60))
    [run] = read_offline(tmp_path)
    return run


def test_what_is_told_is_in_the_file_as_it_was(shown: OfflineRun, tmp_path: Path) -> None:
    assert (shown.run.run_id, shown.run.job_type, shown.run.run_group) == ("abcd1234", "train", "study")
    assert shown.config["seed"] == 7 and list(shown.run.tags) == ["cmr"] and shown.exit_code == 0
    assert [row["_step"] for row in shown.rows] == [row["update"] for row in shown.rows] == [1, 2]
    losses = shown.scalars("main/loss")
    assert losses[1] == 0.5 and math.isnan(losses[2]) and shown.scalars("stage") == {1: 0, 2: 0}
    assert any(metric.glob_name == "*" and metric.step_metric == "update" for metric in shown.metrics)

    examples = shown.last("examples")
    assert examples["captions"] == ["a clip"]
    assert np.asarray(Image.open(shown.file(examples["filenames"][0]))).tobytes() == bytes(range(48))
    [masks] = examples["all_masks"]
    truth, prediction = (np.asarray(Image.open(shown.file(masks[name]["path"]))) for name in ("truth", "prediction"))
    assert truth[0].tolist() == [0, 0, 1, 1] and np.array_equal(prediction, truth.T)

    sounds = shown.last("sounds")["audio"]
    samples, rate = soundfile.read(shown.file(sounds[0]["path"]))
    assert sounds[0]["caption"] == "a bell" and rate == 8000 and samples.shape == (80,)
    assert np.abs(samples - np.linspace(-1, 1, 80)).max() < 1e-3
    assert shown.last("spectrograms")["captions"] == ["its spectrogram"]
    assert shown.table("collisions/stage 1") == {"columns": ["old class", "N_a"], "data": [["dog", 3], ["cat", None]]}

    weights, shards = (one for one in shown.artifacts if one.type in ("weights", "shards"))
    [file], [reference] = weights.manifest.contents, shards.manifest.contents
    assert (weights.name, weights.use_after_commit, "stage-0" in weights.aliases) == ("weights-abcd1234", False, True)
    assert file.local_path == str(tmp_path / "stages/0/main.safetensors") and file.size == 7
    assert shards.use_after_commit
    assert (reference.path, reference.size) == ("train-000000.tar", 9) and reference.ref == "sha256:" + "ab" * 32


def test_nothing_tells_who_runs_it_or_where(shown: OfflineRun) -> None:
    record = shown.run.SerializeToString()
    assert shown.run.host == "" and platform.node().encode() not in record
    for secret in (getpass.getuser(), sys.argv[0], *sys.argv[1:]):
        assert secret.encode() not in record
    assert not list(shown.folder.glob("files/*.json")) and not list(shown.folder.glob("files/requirements.txt"))
