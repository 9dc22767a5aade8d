"""The task of continual audio-visual sound separation (ContAV-Sep, arXiv 2411.02860)."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cavs_dist import distributed
from cavs_dist.curriculum import Stage
from cavs_dist.data.augment import MEAN, STD
from cavs_dist.data.config import DataConfig
from cavs_dist.data.pairing import Pairing
from cavs_dist.data.separation import STEPS, SeparationTransform, Source
from cavs_dist.data.shard import ClipEntry
from cavs_dist.errors import InputError
from cavs_dist.files import whole
from cavs_dist.losses.separate import ratio_masks, separation_loss
from cavs_dist.metrics.bss import bss_eval
from cavs_dist.metrics.continual import stage_matrix
from cavs_dist.models.heads import HeadInit
from cavs_dist.models.unet import refuse_sides
from cavs_dist.outputs.separation import Batch, Outputs
from cavs_dist.tasks.base import LabelRole, ModelRole, Task, evaluating
from cavs_dist.tasks.separation.evaluate import EvaluateConfig, record, score, summarise, validate
from cavs_dist.tasks.separation.labels import (
    by_class,
    clean_mixtures,
    mixtures_of_each,
    paper_mixtures,
    positions,
    source_class,
)
from cavs_dist.tasks.separation.model import FEATURES, ModelConfig, SeparationModel, make_separator
from cavs_dist.tasks.separation.show import sounds, spectrograms
from cavs_dist.track import Track

EXAMPLES = 4


class Separation(Task[Batch, Outputs]):
    """Take mixtures of two clips apart, each guided by what is seen of it and by its class."""

    ModelConfig = ModelConfig
    EvaluateConfig = EvaluateConfig

    def refuse_data(self, config: DataConfig, frames: int) -> None:
        """Raise InputError where there is no motion to see, or no spectrogram that the U-Net can halve."""
        spectrogram, queried = self.model.spectrogram, self.model.separator == "iquery"
        if spectrogram.hop > spectrogram.n_fft // 3:  # the last samples would lie under the tail of one window alone
            raise InputError(
                f"model.spectrogram.hop={spectrogram.hop} lets windows of {spectrogram.n_fft} samples overlap too "
                f"little to get sound back: set it to {spectrogram.n_fft // 3} or less"
            )
        unet = self.model.iquery.unet if queried else self.model.co_separation.unet
        refuse_sides(spectrogram.bins, 1 + config.mix.samples // spectrogram.hop, unet.levels)
        if frames < 2 and self.model.vision != FEATURES and queried:
            raise InputError(f"data.frames={frames} shows no motion: set it to 2 or more")

    def refuse_clips(self, stage: Stage, clips: Sequence[ClipEntry]) -> None:
        """Raise InputError where a clip of several classes does not tell their sources apart."""
        known = positions(stage, "train")
        for clip in clips:
            name = source_class(clip, known)
            if len(clip.meta.classes) > 1 and not any(member.startswith(f"source.{name}.") for member in clip.members):
                raise InputError(
                    f"clip {clip.key} has {', '.join(clip.meta.classes)} in one waveform and no source.{name}: "
                    "separation learns from single sources; set data.sources=single"
                )

    def make_model(self, role: ModelRole, stages: Sequence[Stage], init: HeadInit) -> nn.Module:
        """Build the separator with the classes of `stages`; the twin does not see."""
        model = make_separator(self.model, role, self.seed)
        for stage in stages:
            model.grow(stage, self.seed)
        return model.to(distributed.device())

    def grow(self, model: nn.Module, stage: Stage, init: HeadInit) -> None:
        """Make room for the classes of a new stage."""
        assert isinstance(model, SeparationModel)
        model.grow(stage, self.seed)

    def transform(
        self, config: DataConfig, names: Mapping[int, str], stage: Stage, role: LabelRole, frames: int
    ) -> SeparationTransform:
        """Return the transform with the positions of the classes seen."""
        known, features = positions(stage, role), self.model.vision == FEATURES
        return SeparationTransform(config, known, config.frames or frames, features)

    def blank(self, config: DataConfig, frames: int, slots: int) -> Batch:
        """Return `slots` mixtures."""
        sizes, read = getattr(self.model, self.model.separator), self.model.vision == FEATURES
        source = Source(
            key="",
            waveform=torch.zeros(config.mix.samples),
            frames=torch.zeros(0) if read else torch.zeros(frames, 3, config.size, config.size),
            objects=torch.zeros(frames, sizes.objects) if read else torch.zeros(0),
            motion=torch.zeros(getattr(sizes, "motion", 1), STEPS) if read else torch.zeros(0),
            position=0,
            from_memory=False,
        )
        return SeparationTransform(config, {}, frames, read).collate([source] * 2 * slots)

    def mixing(self, config: DataConfig, clips: Sequence[ClipEntry], stage: Stage) -> tuple[Pairing, list[str]]:
        """Return how training clips are mixed, and the class of each."""
        known = positions(stage, "train")
        return config.mix.pairing, [str(source_class(clip, known)) for clip in clips]

    def arrange(self, clips: Sequence[ClipEntry], stage: Stage, role: LabelRole) -> list[ClipEntry]:
        """Return clips two by two: the mixtures that are judged, or each training clip and what it is mixed with."""
        sorted_clips = by_class(clips, positions(stage, role))
        config: EvaluateConfig = self.evaluate_config
        if role in ("train", "memory"):
            mixtures = mixtures_of_each(sorted_clips)
        elif config.pairs == "paper":
            mixtures = paper_mixtures(sorted_clips)
        else:
            mixtures = clean_mixtures(sorted_clips, config.mixtures)
        return [clip for mixture in mixtures for clip in mixture]

    def loss(self, batch: Batch, outputs: Outputs) -> dict[str, Tensor]:
        """Return the distance to the ratio masks."""
        return separation_loss(batch, outputs)

    def evaluate(self, model: nn.Module, batches: Iterable[Batch], stage: Stage) -> dict[str, Any]:
        """Judge on all ranks' mixtures by BSS-eval. Collective."""
        with evaluating(model):
            return record(score(model, batches).of_all_ranks(), stage, self.evaluate_config.silent)

    def metrics(self, records: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
        """Summarise stages 0 to s (`evaluate.py`)."""
        return summarise(records)

    def validate(self, model: nn.Module, batches: Iterable[Batch], stage: Stage) -> float:
        """Return the mean SI-SDR. Collective."""
        with evaluating(model):
            return validate(model, batches)

    def gains(
        self, model: nn.Module, twin: nn.Module | None, read: Callable[[str], Iterable[Batch]], stage: Stage
    ) -> Iterator[tuple[str, float]]:
        """Yield what sight adds: the SDR of each mixture's first source minus that without vision, in dB.

        Without a twin, what is seen is replaced by zeros.
        """
        other = twin or model
        with evaluating(model), evaluating(other):
            for batch in read(f"stage {stage.index}, scoring"):
                gain = _sdr(model, batch) - _sdr(other, batch, blind=True)
                yield from zip(batch.keys[::2], gain[:, 0].tolist(), strict=True)

    def features(self, model: nn.Module, batch: Batch, stage: Stage) -> Iterator[tuple[str, str, Tensor]]:
        """Yield f^a of each mixture's first source."""
        rows = zip(batch.classes[::2].tolist(), batch.keys[::2], model(batch).audio[::2].double(), strict=True)
        for position, key, feature in rows:
            yield stage.seen[position], key, feature

    def examples(self, clips: Sequence[ClipEntry], stage: Stage) -> list[ClipEntry]:
        """Choose mixtures to listen to: of every two classes one, then some of these."""
        mixtures = clean_mixtures(by_class(clips, positions(stage, "test")), 1)
        step = -(-len(mixtures) // EXAMPLES)
        return [clip for mixture in mixtures[:: max(step, 1)] for clip in mixture]

    def save_examples(self, model: nn.Module, batch: Batch, path: Path) -> None:
        """Write what the report plays and draws of E mixtures as a plain .npz.

        keys, classes: [E, 2]. truth, estimates: [E, 2, L] samples. spectrogram: [E, F, T], the mixture's
        warped log magnitude. masks, ratio_masks: [E, 2, F, T]. frames: [E, 2, S, S, 3] bytes, the middle ones, where
        frames are read.
        """
        assert isinstance(model, SeparationModel)
        with evaluating(model):
            outputs = model(batch)
            estimates = model.estimates(batch, outputs.masks)
        shown = {
            "truth": batch.sources,
            "estimates": estimates,
            "spectrogram": outputs.mixture[:, 0].log1p(),
            "masks": outputs.masks,
            "ratio_masks": ratio_masks(outputs.sources, outputs.mixture).clamp(max=1),
        }
        arrays = {name: values.float().cpu().numpy().astype(np.float16) for name, values in shown.items()}
        if batch.frames.numel():
            middle = batch.frames[:, batch.frames.shape[1] // 2].float().cpu().numpy().transpose(0, 2, 3, 1)
            pixels = (np.clip(middle * STD + MEAN, 0, 1) * 255).round().astype(np.uint8)
            arrays["frames"] = pixels.reshape(-1, 2, *pixels.shape[1:])
        with whole(path) as beside, beside.open("wb") as file:
            np.savez_compressed(
                file,
                keys=np.array(batch.keys).reshape(-1, 2),
                classes=batch.classes.cpu().numpy().reshape(-1, 2),
                **arrays,
            )

    def show(self, records: Sequence[Mapping[str, Any]], examples: Path, config: DataConfig, track: Track) -> None:
        """Show the SDR of each class after each stage, and let the examples be heard and seen."""
        track.table("stages", *stage_matrix(records, "sdr"))
        with np.load(examples, allow_pickle=False) as kept:
            arrays, classes = dict(kept), records[-1]["classes"]
        track.media("sounds", sounds(arrays, classes, config.mix.rate))
        track.media("spectrograms", spectrograms(arrays, classes))


def _sdr(model: nn.Module, batch: Batch, *, blind: bool = False) -> Tensor:
    """Return the SDR of each source, [B, 2] dB."""
    masks = model(batch, blind=blind).masks
    assert isinstance(model, SeparationModel)
    return bss_eval(batch.sources, model.estimates(batch, masks)).sdr
