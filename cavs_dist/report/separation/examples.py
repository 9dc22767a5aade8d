"""Mixtures to listen to: what was mixed, what each run takes out of it, and the masks that it does so with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from cavs_dist.colour_map import colour_map
from cavs_dist.metrics.bss import TRUSTED, bss_eval
from cavs_dist.report.embed import picture, sound
from cavs_dist.report.separation.evaluation import Examples, SeparationRun

SIDE = 128  # pixels at most of a spectrogram's sides
FRAME = 96
SAME = 1e-2  # full scale: what the same sound may differ by between two machines


@dataclass(frozen=True)
class Sound:
    """Something to hear and the picture above it, both data URIs. sdr: dB, None where it is not known."""

    label: str
    picture: str
    audio: str
    sdr: float | None


@dataclass(frozen=True)
class SourceView:
    """A source: its class, its picture if there is one, the mixture's SDR in its place, the truth, each run's estimate.

    frame: a data URI. floor: dB.
    """

    name: str
    frame: str | None
    floor: float | None
    truth: Sound
    estimates: tuple[Sound, ...]


@dataclass(frozen=True)
class MixtureView:
    """A mixture, by the keys of its two clips, and how long it is."""

    keys: tuple[str, str]
    seconds: float
    mixture: Sound
    sources: tuple[SourceView, SourceView]


@dataclass(frozen=True)
class _Kept:
    """A mixture that a run kept: where it lies in its examples, and its classes."""

    examples: Examples
    number: int
    names: tuple[str, ...]
    rate: int

    @property
    def truth(self) -> NDArray[np.float32]:
        return self.examples.truth[self.number].astype(np.float32)

    @property
    def estimates(self) -> NDArray[np.float32]:
        return self.examples.estimates[self.number].astype(np.float32)

    def is_mixture_of(self, other: "_Kept") -> bool:
        """Say whether the same sounds are mixed, in the same order."""
        described, else_described = (
            (kept.examples.keys[kept.number], kept.names, kept.rate, kept.truth.shape) for kept in (self, other)
        )
        return described == else_described and np.allclose(self.truth, other.truth, rtol=0, atol=SAME)


def mixture_views(runs: Mapping[str, SeparationRun], stage: int, most: int) -> list[MixtureView]:
    """Show at most `most` mixtures that the runs kept after a stage; one that several kept is shown once."""
    groups: list[dict[str, _Kept]] = []
    for name, run in runs.items():
        for kept in _kept(run, stage):
            group = next((group for group in groups if kept.is_mixture_of(next(iter(group.values())))), None)
            if group is None:
                groups.append({name: kept})
            else:
                group.setdefault(name, kept)
    return [_view(group) for group in groups[:most]]


def _kept(run: SeparationRun, stage: int) -> list[_Kept]:
    examples = run.stages[stage].examples if stage < len(run.stages) else None
    if examples is None:
        return []
    named = [tuple(run.stages[stage].classes[position] for position in pair) for pair in examples.classes.tolist()]
    return [_Kept(examples, number, names, run.rate) for number, names in enumerate(named)]


def _view(group: Mapping[str, _Kept]) -> MixtureView:
    first = next(iter(group.values()))
    mixture = first.truth.sum(axis=0)
    signals = [mixture, first.truth, *(kept.estimates for kept in group.values())]
    # One factor for all, so that what is softer in the mixture is softer alone too.
    loudest = max(float(np.abs(signal).max()) for signal in signals) or 1.0
    sdr = _sdr(first.truth, [np.stack((mixture, mixture)), *signals[2:]])
    spectrogram = first.examples.spectrogram[first.number].astype(np.float32)
    level = spectrogram / max(float(spectrogram.max()), 1e-6)

    def source(number: int) -> SourceView:
        frames = first.examples.frames
        estimates = tuple(
            Sound(
                name,
                drawn(kept.examples.masks[kept.number, number]),
                sound(kept.estimates[number] / loudest, kept.rate),
                sdr[place][number],
            )
            for place, (name, kept) in enumerate(group.items(), start=1)
        )
        truth = drawn(first.examples.ratio_masks[first.number, number])
        return SourceView(
            first.names[number],
            None if frames is None else _photo(frames[first.number, number]),
            sdr[0][number],
            Sound("truth", truth, sound(first.truth[number] / loudest, first.rate), None),
            estimates,
        )

    heard = Sound("mixture", drawn(level), sound(mixture / loudest, first.rate), None)
    seconds = len(mixture) / first.rate
    return MixtureView(first.examples.keys[first.number], seconds, heard, (source(0), source(1)))


def drawn(values: NDArray[Any]) -> str:
    """Return a picture of values [F, T] from 0 to 1, the lowest frequency at the bottom, as a data URI."""
    grey = Image.fromarray((values[::-1].astype(np.float32).clip(0, 1) * 255).round().astype(np.uint8))
    small = grey.resize((min(grey.width, SIDE), min(grey.height, SIDE)), Image.Resampling.BOX)
    small.putpalette(colour_map().tobytes())
    return picture(small, "PNG")


def _photo(frame: NDArray[np.uint8]) -> str:
    return picture(Image.fromarray(frame).resize((FRAME, FRAME), Image.Resampling.BICUBIC), "JPEG")


def _sdr(truth: NDArray[np.float32], estimates: Sequence[NDArray[np.float32]]) -> list[list[float | None]]:
    """Return the SDR of both sources in each of `estimates`, None where silence makes it meaningless."""
    signals = torch.from_numpy(np.stack(estimates))
    found = bss_eval(torch.from_numpy(truth).expand_as(signals), signals).sdr.tolist()
    return [[value if abs(value) <= TRUSTED else None for value in values] for values in found]
