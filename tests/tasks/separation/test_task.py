from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cavs_dist.curriculum import CurriculumConfig, make_stages
from cavs_dist.data.config import DataConfig
from cavs_dist.data.split import Split
from cavs_dist.errors import InputError
from cavs_dist.losses.separate import separation_loss
from cavs_dist.metrics.bss import bss_eval
from cavs_dist.outputs.separation import Batch
from cavs_dist.tasks.base import ModelRole
from cavs_dist.tasks.separation import Separation
from cavs_dist.tasks.separation.model import SeparationModel

STAGES = make_stages(("bell", "cow", "train", "violin"), CurriculumConfig(split="2-2"))


def make(task: Separation, role: ModelRole = "main") -> SeparationModel:
    model = task.make_model(role, STAGES[:1], "random")
    assert isinstance(model, SeparationModel)
    return model.eval()


def test_models_grow_alike(task: Separation) -> None:
    whole, grown = task.make_model("main", STAGES, "random"), make(task)
    task.grow(grown, STAGES[1], "random")
    assert grown.state_dict().keys() == whole.state_dict().keys()
    assert all(value.equal(whole.state_dict()[name]) for name, value in grown.state_dict().items())


def test_gains_are_what_the_first_source_s_sdr_loses_without_sight(task: Separation, batches: list[Batch]) -> None:
    model, passes = make(task), []

    def read(what: str) -> list[Batch]:
        passes.append(what)
        return batches

    for twin in (None, make(task, "twin")):
        found = list(task.gains(model, twin, read, STAGES[0]))
        assert [key for key, _ in found] == [key for batch in batches for key in batch.keys[::2]]
        with torch.no_grad():
            batch = batches[0]
            seen, unseen = (model.estimates(batch, model(batch, blind=blind).masks) for blind in (False, True))
            expected = bss_eval(batch.sources, seen).sdr - bss_eval(batch.sources, unseen).sdr
        assert [gain for _, gain in found[:2]] == pytest.approx(expected[:, 0].tolist())
    assert passes == ["stage 0, scoring"] * 2 and any(gain for _, gain in found)


def test_features_are_those_of_the_first_source(task: Separation, batches: list[Batch]) -> None:
    model, batch = make(task), batches[0]
    with torch.no_grad():
        found = list(task.features(model, batch, STAGES[0]))
        audio = model(batch).audio
    assert [(name, key) for name, key, _ in found] == [("bell", batch.keys[0]), ("bell", batch.keys[2])]
    assert found[1][2].equal(audio[2].double())


def test_every_clip_of_a_pass_over_training_clips_comes_first_once(task: Separation, split: Split) -> None:
    last = task.arrange(split.clips, STAGES[1], "train")
    assert sorted(clip.key for clip in last[::2]) == sorted(clip.key for clip in split.clips)
    for one, other in zip(last[::2], last[1::2], strict=True):
        assert one.key != other.key


def test_what_the_task_learns_and_is_judged_by(task: Separation, batches: list[Batch]) -> None:
    model = make(task)
    outputs = model(batches[0])
    assert task.loss(batches[0], outputs)["masks"].equal(separation_loss(batches[0], outputs)["masks"])
    told = task.evaluate(model.train(), batches, STAGES[0])
    assert not model.training and told["classes"] == ["bell", "cow"] and len(told["mixtures"]) + told["left_out"] == 3
    ceiling = np.mean([np.mean(mixture["ceiling"]) for mixture in told["mixtures"]])
    assert task.metrics([told])["ceiling"] == pytest.approx(ceiling)
    assert np.isfinite(task.validate(model, batches, STAGES[0]))


def test_data_that_cannot_be_learned_is_refused(task: Separation, config: DataConfig, split: Split) -> None:
    both = replace(split.clips[0], meta=replace(split.clips[0].meta, classes=("bell", "cow")))
    bare = replace(both, members={name: at for name, at in both.members.items() if not name.startswith("source.")})
    task.refuse_clips(STAGES[0], split.clips)
    with pytest.raises(InputError, match=r"has bell, cow in one waveform and no source.bell"):
        task.refuse_clips(STAGES[0], [bare])
    task.refuse_data(config, 2)
    with pytest.raises(InputError, match=r"data.frames=1 shows no motion"):
        task.refuse_data(config, 1)


def test_training_clips_are_mixed_by_their_new_class(task: Separation, config: DataConfig, split: Split) -> None:
    pairing, classes = task.mixing(config, split.clips, STAGES[1])
    assert pairing == "different_class" and len(classes) == len(split.clips)
    for clip, name in zip(split.clips, classes, strict=True):
        assert name in clip.meta.classes
        assert name in STAGES[1].new or set(STAGES[1].new).isdisjoint(clip.meta.classes)


def test_examples_can_be_heard_and_seen(task: Separation, split: Split, batches: list[Batch], tmp_path: Path) -> None:
    shown = task.examples(split.clips, STAGES[1])
    assert 2 <= len(shown) <= 8 and len(shown) % 2 == 0
    model, batch = make(task), batches[0]
    task.save_examples(model, batch, tmp_path / "examples.npz")
    with np.load(tmp_path / "examples.npz", allow_pickle=False) as saved:
        assert saved["keys"].reshape(-1).tolist() == list(batch.keys) and saved["classes"].tolist() == [[0, 1], [0, 1]]
        assert saved["truth"].shape == saved["estimates"].shape == (2, 2, 4095)
        assert np.abs(saved["truth"] - batch.sources.numpy()).max() < 1e-3
        assert saved["masks"].shape == saved["ratio_masks"].shape == (2, 2, 64, 32)
        assert saved["spectrogram"].shape == (2, 64, 32) and saved["ratio_masks"].max() <= 1
        assert saved["frames"].shape == (2, 2, 32, 32, 3) and saved["frames"].dtype == np.uint8


@pytest.mark.parametrize(
    ("hop", "samples", "said"),
    [
        (171, 4095, r"hop=171 lets windows of 512 samples overlap too little"),
        (128, 4351, r"34 steps, expected multiples of 16"),
    ],
)
def test_spectrograms_that_cannot_be_cut_are_refused(
    task: Separation, config: DataConfig, hop: int, samples: int, said: str
) -> None:
    spectrogram = replace(task.model.spectrogram, hop=hop)
    other = Separation(replace(task.model, spectrogram=spectrogram), task.evaluate_config, 0)
    with pytest.raises(InputError, match=said):
        other.refuse_data(replace(config, mix=replace(config.mix, samples=samples)), 3)
