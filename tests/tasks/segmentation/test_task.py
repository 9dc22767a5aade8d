from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cavs_dist.curriculum import CurriculumConfig, make_stages
from cavs_dist.data.config import DataConfig
from cavs_dist.data.split import open_split
from cavs_dist.data.stream import evaluation_batches
from cavs_dist.errors import InputError
from cavs_dist.memory.score import consistency
from cavs_dist.outputs.segmentation import Batch
from cavs_dist.tasks.segmentation import Segmentation
from cavs_dist.tasks.segmentation.evaluate import EvaluateConfig
from cavs_dist.tasks.segmentation.model import ModelConfig, Segmenter
from cavs_dist.tasks.segmentation.task import mean_embedding, silenced

STAGES = make_stages(("bell", "cow", "train", "violin"), CurriculumConfig(split="2-2"))
TASK = Segmentation(ModelConfig(channels=16, features=8), EvaluateConfig(), seed=3)


@pytest.fixture(scope="module")
def batches(scenes: Path) -> list[Batch]:
    """The test clips of the first stage, 12 of 3 frames, the last of each padded."""
    config = DataConfig(path=str(scenes), size=32, step=1.0, workers=0)
    split = open_split(config, "test")
    return list(
        evaluation_batches(split.clips, TASK.transform(config, split.names, STAGES[0], "test", 4), config, 0, 1, 5)
    )


def test_models_are_the_same_everywhere_and_grow() -> None:
    model, again = (TASK.make_model("main", STAGES, "random") for _ in range(2))
    assert all(a.equal(b) for a, b in zip(model.parameters(), again.parameters(), strict=True))
    grown = TASK.make_model("main", STAGES[:1], "random")
    TASK.grow(grown, STAGES[1], "random")
    for name, value in grown.state_dict().items():
        assert value.equal(model.state_dict()[name]), name
    assert TASK.make_model("twin", STAGES, "random").attention[0].mode == "visual"


def test_labels_are_the_stage_s(batches: list[Batch]) -> None:
    assert set(torch.cat([batch.labels.flatten() for batch in batches]).unique().tolist()) == {0, 1, 2, 255}


def test_the_mean_sound_is_the_mean_over_present_frames(batches: list[Batch]) -> None:
    model = TASK.make_model("main", STAGES[:1], "random")
    found = mean_embedding(model, batches)
    with torch.no_grad():
        every = torch.cat([model.audio(batch.audio)[batch.present.flatten()] for batch in batches])
    assert len(every) == 36
    torch.testing.assert_close(found, every.mean(dim=0))


def test_silence_is_one_sound_for_all_present_frames(batches: list[Batch]) -> None:
    model = TASK.make_model("main", STAGES[:1], "random").eval()
    for attention in model.attention:
        torch.nn.init.ones_(attention.norm.weight)
    mean, batch = torch.randn(128), batches[0]
    silent = silenced(model, batch, mean)
    assert not silent.features.equal(model(batch).features)
    assert silent.features.equal(silenced(model, replace(batch, audio=batch.audio + 1), mean).features)
    torch.testing.assert_close(silent.audio[0][0], model.attention[0].align(mean))
    assert not silent.audio[0][3].any()


@pytest.mark.parametrize("with_twin", [True, False])
def test_gains_are_what_the_twin_or_silence_lacks(batches: list[Batch], with_twin: bool) -> None:
    model = TASK.make_model("main", STAGES[:1], "random")
    assert isinstance(model, Segmenter)
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    twin = TASK.make_model("twin", STAGES[:1], "random") if with_twin else None
    passes = []

    def read(what: str) -> list[Batch]:
        passes.append(what)
        return batches

    found = dict(TASK.gains(model, twin, read, STAGES[0]))
    assert passes == ["stage 0, scoring"] if with_twin else ["mean sound", "stage 0, scoring"]
    mean = mean_embedding(model, batches)
    for batch in batches:
        with torch.no_grad():
            other = silenced(model.eval(), batch, mean) if twin is None else twin.eval()(batch)
            expected = consistency(batch, model.eval()(batch).prediction(), other.prediction(), 3)
        assert [found[key] for key in batch.keys] == expected.tolist()
    assert any(found.values())


def test_features_are_of_the_classes_in_the_clip(batches: list[Batch]) -> None:
    model = TASK.make_model("main", STAGES[:1], "random").eval()
    with torch.no_grad():
        found = [(name, key) for name, key, _ in TASK.features(model, batches[0], STAGES[0])]
    labels = batches[0].labels.view(len(batches[0].keys), -1)
    heard = [
        (name, key)
        for n, name in ((1, "bell"), (2, "cow"))
        for key, of in zip(batches[0].keys, labels, strict=True)
        if n in of
    ]
    assert sorted(found) == sorted(heard) and heard


def test_a_stage_without_masks_is_refused(scenes: Path) -> None:
    clips = open_split(DataConfig(path=str(scenes)), "train").clips
    TASK.refuse_clips(STAGES[0], clips)
    bare = [replace(clip, meta=replace(clip.meta, annotated=())) for clip in clips]
    with pytest.raises(InputError, match="no clip of stage 0 has a mask"):
        TASK.refuse_clips(STAGES[0], bare)


def test_judging(batches: list[Batch]) -> None:
    model = TASK.make_model("main", STAGES[:1], "random").train()
    record = TASK.evaluate(model, batches, STAGES[0])
    assert not model.training and record["clips"] == 12 and record["classes"] == ["background", "bell", "cow"]
    assert sum(map(sum, record["confusion"])) == sum((batch.labels != 255).sum().item() for batch in batches)
    metrics = TASK.metrics([record])
    assert metrics["all"] == pytest.approx(sum(record["iou"]) / 3)
    assert metrics["new"] is None and "stages" not in metrics


def test_examples_hold_frames_truth_and_prediction(batches: list[Batch], tmp_path: Path, scenes: Path) -> None:
    model, batch = TASK.make_model("main", STAGES[:1], "random"), batches[0]
    TASK.save_examples(model, batch, tmp_path / "examples.npz")
    with np.load(tmp_path / "examples.npz", allow_pickle=False) as saved:
        assert saved["keys"].tolist() == list(batch.keys)
        assert saved["frames"].shape == (5, 4, 32, 32, 3) and saved["frames"].dtype == np.uint8
        assert np.array_equal(saved["truth"].reshape(20, 32, 32), batch.labels)
        with torch.no_grad():
            expected = model(batch).prediction().view(5, 4, 32, 32)
        assert np.array_equal(saved["prediction"], expected)
        red = batch.frames[0, 0] * 0.229 + 0.485
        assert np.abs(saved["frames"][0, 0, ..., 0] - red.numpy() * 255).max() <= 0.51


def test_every_class_is_shown_by_a_clip_of_its_own(scenes: Path) -> None:
    clips = open_split(DataConfig(path=str(scenes)), "test").clips
    for stage in STAGES:
        chosen = TASK.examples(clips, stage)
        assert len({clip.key for clip in chosen}) == len(chosen) == len(stage.seen)
        assert all(name in clip.meta.classes for name, clip in zip(stage.seen, chosen, strict=True))
    both, cow = (
        replace(clips[0], key=str(c), meta=replace(clips[0].meta, classes=c)) for c in (("cow", "bell"), ("cow",))
    )
    assert TASK.examples([both, cow], STAGES[0]) == [both, cow]
    [many] = make_stages([f"class{number}" for number in range(70)] + ["bell"], CurriculumConfig(split="71"))
    assert 1 <= len(TASK.examples(clips, many)) <= 6
