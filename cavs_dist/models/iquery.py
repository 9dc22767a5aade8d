"""iQuery (Chen et al., arXiv 2212.03814) as ContAV-Sep has it (arXiv 2411.02860): one query a class separates it."""

from dataclasses import dataclass, field
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cavs_dist.errors import InputError
from cavs_dist.models.separator import Separated, Separator, masks_of
from cavs_dist.models.transformer import AttentionLayer, DecoderLayer, sine_map, sine_steps, xavier
from cavs_dist.models.unet import LATENT, UNet, UNetConfig
from cavs_dist.randomness import keyed_hash


@dataclass(frozen=True)
class IQueryConfig:
    """The section `iquery`; the transformer has as many channels, D, as the U-Net's third level.

    unet: of the mixture. heads: of every attention. hidden: of the feed-forward parts. layers: of the decoder, the
    first of which attends to motion, the others to audio. embedding: channels in which a source's query meets the
    U-Net's output. objects, motion: channels of the features of objects and of motion.
    """

    unet: UNetConfig = field(default_factory=UNetConfig)
    heads: int = 8
    hidden: int = 1024
    layers: int = 4
    embedding: int = 32
    objects: int = 512
    motion: int = 768


SMALL = IQueryConfig(UNetConfig(levels=5, first=16, most=64), heads=4, hidden=256, embedding=16, objects=128, motion=64)


class StageQueries(nn.Module):
    """The learned embedding of each class seen, one parameter a stage; their rows together are the queries."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.stages = nn.ParameterList()

    def grow(self, num_new: int, *names: int | str) -> None:
        """Add the rows of a stage's new classes, N(0, 1) from a generator keyed by `names`, alike on all ranks."""
        source = torch.Generator().manual_seed(keyed_hash("query", len(self.stages), *names) % 2**63)
        rows = torch.empty(num_new, self.channels).normal_(generator=source)
        self.stages.append(nn.Parameter(rows))

    def forward(self) -> Tensor:
        """Return the queries of all classes seen, [Q, C]."""
        return torch.cat(list(self.stages))


class IQuery(Separator):
    """A U-Net and an encoder of the mixture, once; a decoder that lets a source's class ask for its sound.

    The rows of a source's decoder are all Q classes: their queries are positions, their content starts at 0, that of
    its own class at f^o. They attend to motion, then to each other and to audio. f^a is the own class's last row. Of
    other classes no mask is made, but what makes it is returned.
    The released layers hold attentions and norms that never run (1,318,400 parameters at its size): not here.
    Raises InputError where heads do not divide the channels, or layers are too few.
    """

    def __init__(self, config: IQueryConfig) -> None:
        super().__init__()
        channels = config.unet.channels[LATENT - 1]
        _refuse(config, channels)
        size = (channels, config.heads, config.hidden)
        self.unet = UNet(config.unet, config.embedding)
        self.object = nn.Linear(config.objects, channels)
        self.motion = nn.Linear(config.motion, channels)
        self.queries = StageQueries(channels)
        self.encoder = AttentionLayer(*size)
        self.watch = AttentionLayer(*size)
        self.listen = nn.ModuleList(DecoderLayer(*size) for _ in range(config.layers - 1))
        self.norm = nn.LayerNorm(channels)
        self.embed = nn.Sequential(
            nn.Linear(channels, channels),
            nn.ReLU(),
            nn.Linear(channels, channels),
            nn.ReLU(),
            nn.Linear(channels, config.embedding),
        )
        xavier(self.encoder, self.watch, self.listen)

    def grow(self, num_new: int, seed: int) -> None:
        """Add the queries of a stage's new classes, alike on all ranks; old rows stay as they are."""
        self.queries.grow(num_new, seed)
        self.queries.to(self.object.weight)

    def forward(self, spectrogram: Tensor, objects: Tensor, motion: Tensor | None, classes: Tensor) -> Separated:
        """Separate B mixtures of N sources: `Separator.forward`. Raises ValueError where there is no motion."""
        if motion is None:
            raise ValueError("found no motion, expected [B, N, Dm, S]: the first layer of iQuery attends to it")
        unet = self.unet(spectrogram)
        _, channels, height, width = unet.latent.shape
        audio = unet.latent.flatten(2).transpose(1, 2)
        places = sine_map(height, width, channels, audio)
        audio = self.encoder(audio, places, audio, places)
        seen = self.object(objects.amax(dim=2))
        moves = self.motion(motion.transpose(2, 3))
        rows, attention = self._decode(seen, moves, classes, audio, places)
        queries = self.embed(rows)
        feature, own = (each[_at(classes, each)] for each in (rows, queries))
        masks = masks_of(own, unet.out)
        return Separated(masks, feature, seen, moves.mean(dim=2), attention, unet.maps, queries, unet.out)

    def _decode(
        self, seen: Tensor, moves: Tensor, classes: Tensor, audio: Tensor, places: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the rows of all classes [B, N, Q, D], and the attention [B, N, P] of the own class's last layer.

        Rows of the N sources of a mixture lie side by side where they attend to its audio, and apart elsewhere.
        """
        queries, (num_mixtures, num_sources) = self.queries(), classes.shape
        own = F.one_hot(classes, len(queries)).to(seen.dtype)
        rows = (own[..., None] * seen[:, :, None]).flatten(0, 1)
        steps = sine_steps(moves.shape[2], moves.shape[3], moves)
        rows = self.watch(rows, queries, moves.flatten(0, 1), steps)
        placed = queries.repeat(num_sources, 1)
        for layer in cast(list[DecoderLayer], list(self.listen)):
            beside = layer.among(rows, queries).view(num_mixtures, -1, rows.shape[2])
            rows = layer.attend(beside, placed, audio, places).view_as(rows)
        apart = beside.view(num_mixtures, num_sources, *rows.shape[1:])
        row = apart[_at(classes, apart)] + queries[classes]
        attention = layer.attend.attend.weights(row, audio + places)
        return self.norm(rows).view_as(apart), attention


def _at(classes: Tensor, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the index of the own class's row of each source, for [B, N, Q, ...] rows and classes [B, N]."""
    mixture, source = (torch.arange(side, device=rows.device) for side in rows.shape[:2])
    return mixture[:, None], source, classes


def _refuse(config: IQueryConfig, channels: int) -> None:
    if channels % 4 or channels % config.heads:
        raise InputError(
            f"the third level of the U-Net has {channels} channels, expected a multiple of 4 and of the "
            f"{config.heads} heads: change unet.first, unet.most or heads"
        )
    if config.layers < 2:
        raise InputError(
            f"layers={config.layers} is too few: set 2 or more, the first for motion, the others for audio"
        )
