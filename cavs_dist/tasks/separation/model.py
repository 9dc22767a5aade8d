"""The model of a run: features of what is seen, the spectrogram of what is heard, and a separator's masks of both."""

from dataclasses import dataclass, field
from typing import Literal, Self

import torch
from torch import Tensor, nn

from cavs_dist.curriculum import Stage
from cavs_dist.errors import InputError
from cavs_dist.models.co_separation import CoSeparation, CoSeparationConfig
from cavs_dist.models.iquery import IQuery, IQueryConfig
from cavs_dist.models.motion import MotionEncoder
from cavs_dist.models.separator import Separator
from cavs_dist.models.spectrogram import SpectrogramConfig, separate, stft, warp
from cavs_dist.models.visual import make_visual_encoder
from cavs_dist.outputs.separation import Batch, Outputs

FEATURES = "features"


@dataclass(frozen=True)
class ModelConfig:
    """The section `model`.

    separator: `iquery`, one query a class, or `co_separation`, conditioned on what is seen alone. vision: what makes
    features of objects and motion: `features` reads them from the shards; else a network for frames, `small` or a timm
    model's name, and a small one for their differences. weights: of that network: "" (random), `timm`, or a file.
    freeze: keep it as it is.
    """

    separator: Literal["iquery", "co_separation"] = "iquery"
    vision: str = "small"
    weights: str = ""
    freeze: bool = False
    spectrogram: SpectrogramConfig = field(default_factory=SpectrogramConfig)
    iquery: IQueryConfig = field(default_factory=IQueryConfig)
    co_separation: CoSeparationConfig = field(default_factory=CoSeparationConfig)


class SeparationModel(nn.Module):
    """Sees, hears and separates. blind: what is seen is replaced by zeros, so that only classes tell sources apart."""

    def __init__(self, config: ModelConfig, blind: bool) -> None:
        super().__init__()
        self.config, self.blind, self.num_classes = config, blind, 0
        self.separator: Separator
        queried = config.separator == "iquery"
        self.separator = IQuery(config.iquery) if queried else CoSeparation(config.co_separation)
        chosen = config.iquery if queried else config.co_separation
        self.vision: nn.Module | None = None
        self.motion: nn.Module | None = None
        if config.vision != FEATURES:
            self.vision = make_visual_encoder(config.vision, config.weights, chosen.unet.norm)
            self.vision.requires_grad_(not config.freeze)
            channels: tuple[int, ...] = self.vision.channels  # type: ignore[assignment]
            self.project = nn.Linear(channels[-1], chosen.objects)
            if queried:
                self.motion = MotionEncoder(config.iquery.motion, chosen.unet.norm)

    def grow(self, stage: Stage, seed: int) -> None:
        """Make room for the classes of `stage`, alike on all ranks."""
        self.separator.grow(len(stage.new), seed)
        self.num_classes += len(stage.new)

    def train(self, mode: bool = True) -> Self:
        """Set the mode of all parts but a frozen network for frames."""
        super().train(mode)
        if self.vision is not None and self.config.freeze:
            self.vision.eval()
        return self

    def look(self, batch: Batch, blind: bool) -> tuple[Tensor, Tensor | None]:
        """Return the features of objects [B, 2, K, D] and of motion [B, 2, E, P], zeros where `blind`."""
        queried = self.config.separator == "iquery"
        objects, motion = batch.objects, batch.motion if queried else None
        if self.vision is not None:
            seen = self.vision(batch.frames.flatten(0, 1))[-1].amax(dim=(2, 3))
            objects = self.project(seen).view(*batch.frames.shape[:2], -1)
            motion = None if self.motion is None else self.motion(batch.frames)
        else:
            self._refuse_features(objects, motion)
        if blind:
            objects, motion = objects * 0, None if motion is None else motion * 0
        return objects.view(-1, 2, *objects.shape[1:]), None if motion is None else motion.view(
            -1, 2, *motion.shape[1:]
        )

    def _refuse_features(self, objects: Tensor, motion: Tensor | None) -> None:
        """Raise InputError where the shards' features are not as wide as the separator expects."""
        expected = getattr(self.config, self.config.separator)
        if objects.shape[2] != expected.objects or (motion is not None and motion.shape[1] != expected.motion):
            found = [objects.shape[2], *([] if motion is None else [motion.shape[1]])]
            wanted = [expected.objects, *([] if motion is None else [expected.motion])]
            raise InputError(
                f"the shards' features of objects and motion have {found} channels, expected {wanted}: set "
                f"model.{self.config.separator}.objects (and motion) to what the shards have"
            )

    def forward(self, batch: Batch, *, blind: bool = False) -> Outputs:
        """Separate the batch's mixtures, without what is seen if `blind`.

        A class that the model does not know yet is asked for by the last that it knows.
        """
        spectra = warp(stft(_heard(batch), self.config.spectrogram).abs(), self.config.spectrogram)
        mixture, sources = spectra[:, :1], spectra[:, 1:]
        classes = batch.classes.clamp(max=self.num_classes - 1).view(-1, 2)
        found = self.separator(mixture.log1p(), *self.look(batch, blind or self.blind), classes)
        return Outputs(
            mixture=mixture,
            sources=sources,
            masks=found.masks,
            audio=found.audio.flatten(0, 1),
            object=found.object.flatten(0, 1),
            motion=None if found.motion is None else found.motion.flatten(0, 1),
            attention=found.attention.flatten(0, 1),
            maps=found.maps,
            queries=found.queries,
            sound=found.sound,
        )

    def estimates(self, batch: Batch, masks: Tensor) -> Tensor:
        """Return the sources that masks [B, 2, F, T] take from the batch's mixtures, [B, 2, L] samples."""
        mixture = stft(_heard(batch)[:, 0], self.config.spectrogram)
        return separate(mixture, masks, self.config.spectrogram, batch.waveforms.shape[1])


def _heard(batch: Batch) -> Tensor:
    """Return the mixtures, each followed by its two sources, [B, 3, L]."""
    return torch.cat((batch.sources.sum(dim=1, keepdim=True), batch.sources), dim=1)


def make_separator(config: ModelConfig, role: Literal["main", "twin", "hearing_twin"], seed: int) -> SeparationModel:
    """Build a model without classes from `seed`: the run's own, the twin, which does not see, or one that does."""
    torch.manual_seed(seed)
    return SeparationModel(config, blind=role == "twin")
