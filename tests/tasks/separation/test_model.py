from dataclasses import replace
from typing import Any

import pytest
import torch

from cavs_dist.curriculum import CurriculumConfig, make_stages
from cavs_dist.errors import InputError
from cavs_dist.models.spectrogram import stft, warp
from cavs_dist.outputs.separation import Batch
from cavs_dist.tasks.separation import Separation
from cavs_dist.tasks.separation.evaluate import EvaluateConfig
from cavs_dist.tasks.separation.model import SeparationModel, make_separator

STAGES = make_stages(("bell", "cow", "train", "violin"), CurriculumConfig(split="2-2"))


def make(task: Separation, **changes: Any) -> SeparationModel:
    model = Separation(replace(task.model, **changes), EvaluateConfig(), 3).make_model("main", STAGES[:1], "random")
    assert isinstance(model, SeparationModel)
    return model.eval()


@pytest.mark.parametrize("separator", ["iquery", "co_separation"])
def test_outputs_hold_what_was_mixed_and_a_mask_for_each_source(
    task: Separation, batches: list[Batch], separator: str
) -> None:
    model, batch = make(task, separator=separator), batches[0]
    with torch.no_grad():
        outputs = model(batch)
    config = task.model.spectrogram
    expected = warp(stft(batch.waveforms[0] + batch.waveforms[1], config).abs(), config)
    torch.testing.assert_close(outputs.mixture[0, 0], expected)
    torch.testing.assert_close(outputs.sources[1, 0], warp(stft(batch.waveforms[2], config).abs(), config))
    assert outputs.masks.shape == (2, 2, 64, 32) and 0 < outputs.masks.min() <= outputs.masks.max() < 1
    assert len(outputs.audio) == len(outputs.object) == len(outputs.attention) == 4
    assert set(outputs.modalities) == {"audio", "object"} | ({"motion"} if separator == "iquery" else set())
    assert outputs.queries.shape[2] == (2 if separator == "iquery" else 0)


def test_masks_of_one_give_the_mixture_back_and_masks_of_zero_silence(task: Separation, batches: list[Batch]) -> None:
    model, batch = make(task), batches[0]
    ones = torch.ones(2, 2, 64, 32)
    mixture = batch.sources.sum(dim=1)
    torch.testing.assert_close(model.estimates(batch, ones)[:, 0], mixture, atol=1e-4, rtol=0)
    assert not model.estimates(batch, 0 * ones).any()


def test_the_twin_does_not_see_and_blindness_is_the_same(task: Separation, batches: list[Batch]) -> None:
    model, batch = make(task), batches[0]
    other = replace(batch, frames=batch.frames.flip(0))
    with torch.no_grad():
        assert not model(other).masks.equal(model(batch).masks)
        assert model(other, blind=True).masks.equal(model(batch, blind=True).masks)
        twin = make_separator(task.model, "twin", 3)
        twin.grow(STAGES[0], 3)
        assert twin.eval()(batch).masks.equal(model(batch, blind=True).masks)


def test_a_class_that_is_not_known_yet_is_asked_for_by_the_last_query(task: Separation, batches: list[Batch]) -> None:
    model, batch = make(task), batches[0]
    with torch.no_grad():
        later = model(replace(batch, classes=torch.full_like(batch.classes, 3)))
        assert later.masks.equal(model(replace(batch, classes=torch.ones_like(batch.classes))).masks)


def test_growing_keeps_what_was_learned(task: Separation) -> None:
    model = make(task)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.grow(STAGES[1], 3)
    after = model.state_dict()
    assert all(after[name].equal(value) for name, value in before.items())
    [added] = after.keys() - before.keys()
    assert after[added].shape[0] == 2 and model.num_classes == 4


def test_precomputed_features_take_the_place_of_frames(task: Separation, batches: list[Batch]) -> None:
    model = make(task, vision="features")
    objects, motion = torch.randn(4, 3, 8), torch.randn(4, 8, 5)
    batch = replace(batches[0], frames=torch.empty(4, 0), objects=objects, motion=motion)
    with torch.no_grad():
        one, other = model(batch), model(replace(batch, objects=objects.flip(0)))
    with pytest.raises(InputError, match=r"have \[9, 8\] channels, expected \[8, 8\]: set model.iquery.objects"):
        model(replace(batch, objects=torch.randn(4, 3, 9)))
    assert model.vision is None and not one.masks.equal(other.masks)
    assert one.motion is not None and one.motion.shape == one.audio.shape


def test_a_frozen_network_for_frames_keeps_its_mode_and_weights(task: Separation) -> None:
    model = make(task, freeze=True).train()
    assert model.vision is not None and not model.vision.training and model.separator.training
    assert not any(value.requires_grad for value in model.vision.parameters())


def test_models_are_the_same_everywhere(task: Separation) -> None:
    one, other = (task.make_model("main", STAGES, "random") for _ in range(2))
    assert all(a.equal(b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
