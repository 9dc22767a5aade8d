"""What a separator is: a mixture and what is seen of its sources to one mask a source."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Separated:
    """What a separator gives for B mixtures of N sources. D: channels of features; P: places of the audio map.

    masks: [B, N, bins, T] in (0, 1), float32 at least, on the warped magnitude of the mixture.
    audio, object: [B, N, D], the features f^a of the separated sound and f^o of the object. motion: [B, N, D], f^m,
    None where a separator does not look at motion. attention: [B, N, P], how a source's query (or object) spreads over
    the places of the mixture's audio map; sums to 1. maps: the U-Net maps that feature distillation compares, each
    [B, C, h, w], down maps finest first, then the last up map. queries: [B, N, Q, E], for the look of each source what
    every class's query would ask of `sound` [B, E, bins, T]; Q is 0 where a separator has no queries.
    """

    masks: Tensor
    audio: Tensor
    object: Tensor
    motion: Tensor | None
    attention: Tensor
    maps: tuple[Tensor, ...]
    queries: Tensor
    sound: Tensor


class Separator(nn.Module):
    """A model that separates each source of a mixture, given what is seen of it and its class."""

    def grow(self, num_new: int, seed: int) -> None:
        """Make room for the new classes of a stage, alike on all ranks; what was learned of old ones stays."""
        raise NotImplementedError

    def forward(self, spectrogram: Tensor, objects: Tensor, motion: Tensor | None, classes: Tensor) -> Separated:
        """Separate B mixtures of N sources. Collective as the norms are.

        spectrogram: [B, 1, bins, T], log(1 + the mixture's warped magnitude). objects: [B, N, K, Do], features of the
        object in K frames. motion: [B, N, Dm, S], features of S steps. classes: [B, N] int64, stage order from 0.
        """
        raise NotImplementedError


def masks_of(queries: Tensor, sound: Tensor) -> Tensor:
    """Return the masks [B, R, bins, T] that `queries` [B, R, E] ask of `sound` [B, E, bins, T]: sigmoid(<q, s>)."""
    logits = torch.einsum("bre,behw->brhw", queries, sound)
    return logits.to(torch.promote_types(logits.dtype, torch.float32)).sigmoid()
