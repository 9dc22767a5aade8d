"""A small separator and mixtures of clips."""

from dataclasses import replace

import pytest

from cavs_dist.curriculum import CurriculumConfig, make_stages
from cavs_dist.data.config import DataConfig, MixConfig
from cavs_dist.data.scenes import PRESETS, render_scenes
from cavs_dist.data.split import Split, open_split
from cavs_dist.data.stream import evaluation_batches
from cavs_dist.models.co_separation import CoSeparationConfig
from cavs_dist.models.iquery import IQueryConfig
from cavs_dist.models.spectrogram import SpectrogramConfig
from cavs_dist.models.unet import UNetConfig
from cavs_dist.outputs.separation import Batch
from cavs_dist.tasks.separation import Separation
from cavs_dist.tasks.separation.evaluate import EvaluateConfig
from cavs_dist.tasks.separation.model import ModelConfig

STAGES = make_stages(("bell", "cow", "train", "violin"), CurriculumConfig(split="2-2"))
UNET = UNetConfig(levels=4, first=4, most=16, norm="group")
MODEL = ModelConfig(
    spectrogram=SpectrogramConfig(n_fft=512, hop=128, bins=64),
    iquery=IQueryConfig(UNET, heads=2, hidden=16, layers=2, embedding=4, objects=8, motion=8),
    co_separation=CoSeparationConfig(UNET, objects=8),
)


@pytest.fixture(scope="session")
def config(tmp_path_factory: pytest.TempPathFactory) -> DataConfig:
    """Crops of 0.37 s, 32 steps, with 3 frames of 32 pixels, of 3 test clips a class that sound throughout."""
    folder = tmp_path_factory.mktemp("solo")
    solo = replace(PRESETS["scenes-solo"], classes=STAGES[1].seen, train=0, val=0, test=3, size=32, workers=1)
    render_scenes(folder, replace(solo, frames=3, seconds=3.0))
    return DataConfig(path=str(folder), size=32, frames=3, step=1.0, workers=0, mix=MixConfig(samples=4095))


@pytest.fixture(scope="session")
def split(config: DataConfig) -> Split:
    """12 test clips of 4 classes."""
    return open_split(config, "test")


@pytest.fixture(scope="session")
def task() -> Separation:
    """The task with the small model."""
    return Separation(MODEL, EvaluateConfig(mixtures=3), seed=3)


@pytest.fixture(scope="session")
def batches(config: DataConfig, split: Split, task: Separation) -> list[Batch]:
    """The mixtures that are judged after the first stage, 2 and 1."""
    clips = task.arrange(split.clips, STAGES[0], "test")
    transform = task.transform(config, split.names, STAGES[0], "test", 3)
    return [batch for batch in evaluation_batches(clips, transform, config, 0, 1, 4) if isinstance(batch, Batch)]
