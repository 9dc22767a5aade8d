"""What goes into a separator and what comes out of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Self

from torch import Tensor

from cavs_dist.outputs import batch


@dataclass(frozen=True)
class Batch(batch.Batch):
    """Some mixtures of one update on one rank. Sources 2b and 2b + 1 are mixed: B mixtures, R = 2B sources.

    keys: R clip keys. from_memory: [R] bool, rehearsed clips. waveforms: [R, L], the sources as they are mixed.
    frames: [R, K, 3, S, S] float, normalised. objects: [R, K, D] and motion: [R, E, P], features that the shards have.
    Of these, what the model does not look at is empty. classes: [R] int64, positions in the stage's classes.
    videos: [R] int64, one number a clip. weight, memory_weight: [R] float, of all sources and of rehearsed ones.
    """

    WEIGHTS: ClassVar[tuple[str, ...]] = ("weight", "memory_weight")

    waveforms: Tensor
    frames: Tensor
    objects: Tensor
    motion: Tensor
    classes: Tensor
    videos: Tensor
    weight: Tensor
    memory_weight: Tensor

    @property
    def sources(self) -> Tensor:
        """[B, 2, L]: the waveforms of each mixture, which is their sum."""
        return self.waveforms.view(-1, 2, self.waveforms.shape[1])

    def one_by_one(self) -> Iterator[Self]:
        """Yield each mixture as a batch of its own."""
        for start in range(0, len(self.keys), 2):
            both = slice(start, start + 2)
            yield type(self)(**{name: value[both] for name, value in vars(self).items()})


@dataclass(frozen=True)
class Outputs:
    """What a separator gives for B mixtures of 2 sources; F and T are the warped spectrogram's.

    mixture: [B, 1, F, T] and sources: [B, 2, F, T], magnitudes. masks: [B, 2, F, T] in (0, 1), a source's part of the
    mixture. audio, object: [R, D], the separated sound's and the object's features of each source. motion: [R, D], or
    None where the model does not look at motion. attention: [R, P], how a source's query spreads over the mixture; sums
    to 1. maps: of the U-Net, each [B, C, h, w]. queries: [B, 2, Q, E], for the look of each source what every class's
    query asks of `sound` [B, E, F, T] (`masks_of`); Q is 0 where a model has no queries.
    """

    mixture: Tensor
    sources: Tensor
    masks: Tensor
    audio: Tensor
    object: Tensor
    motion: Tensor | None
    attention: Tensor
    maps: tuple[Tensor, ...]
    queries: Tensor
    sound: Tensor

    @property
    def modalities(self) -> dict[str, Tensor]:
        """What contrast compares of a source, each [R, D]: audio, object and, where there is one, motion."""
        return {
            "audio": self.audio,
            "object": self.object,
            **({} if self.motion is None else {"motion": self.motion}),
        }
