"""What a frozen network makes of frames, computed once and kept in the shards, instead of in every epoch."""

import io
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from cavs_dist.data.augment import normalise, resize, whole
from cavs_dist.data.clip import Encoded
from cavs_dist.data.decode import Limits, load_clip
from cavs_dist.data.remote.catalogue import write_catalogue
from cavs_dist.data.scenes.compose import SPLITS
from cavs_dist.data.separation import MOTION, OBJECT, STEPS
from cavs_dist.data.shard import ClipEntry, ShardReader, read_split, write_shards
from cavs_dist.errors import InputError
from cavs_dist.models.visual import make_visual_encoder

AT_ONCE = 64  # frames


@dataclass(frozen=True)
class Network:
    """A frozen network for frames. name, weights: as `model.vision` and `model.weights`. size: of frames, pixels."""

    name: str
    weights: str
    size: int


def add_features(folder: Path, out: Path, network: Network, limits: Limits, workers: int) -> None:
    """Copy the shards of `folder` to `out`, each clip with the features of its frames; a killed run goes on.

    `feature.object`: [T, C], the strongest place of the network's coarsest map for each frame.
    `feature.motion`: [C, 8], how these change from frame to frame, averaged to 8 steps.
    Raises InputError where the network cannot be had.
    """
    _encoder(network)
    if folder.resolve() == out.resolve():
        raise InputError(f"{folder} would be read and written at once: name another folder to write to")
    present = [split for split in SPLITS if any(folder.glob(f"{split}-[0-9]*.tar"))]
    if not present:
        raise InputError(f"{folder} has no shards of {', '.join(SPLITS)}")
    for split in present:
        indexes = read_split(folder, split)
        write_shards(
            out,
            split,
            [clip for index in indexes for clip in index.clips],
            partial(_with_features, network, limits),
            indexes[0].names,
            workers=workers,
            what=f"{split} features",
            plan=f"features {network} of {[index.sha256 for index in indexes]}",
        )
    write_catalogue(out)


def features(frames: Tensor, encoder: nn.Module) -> tuple[Tensor, Tensor]:
    """Return the objects [T, C] and the motion [C, 8] of normalised frames [T, 3, S, S]."""
    with torch.inference_mode():
        objects = torch.cat([encoder(part)[-1].amax(dim=(2, 3)) for part in torch.split(frames, AT_ONCE)])
    changes = objects.diff(dim=0) if len(objects) > 1 else torch.zeros_like(objects)
    return objects, F.adaptive_avg_pool1d(changes.T, STEPS)


def _with_features(network: Network, limits: Limits, entry: ClipEntry) -> Encoded:
    reader = ShardReader()
    try:
        members = reader.read(entry)
        clip = load_clip(reader, entry, limits)
    finally:
        reader.close()
    frames = normalise(resize(clip.frames, whole(clip.frames), network.size))
    objects, motion = features(torch.from_numpy(frames), _encoder(network))
    made = {f"feature.{OBJECT}.npy": _npy(objects), f"feature.{MOTION}.npy": _npy(motion)}
    return Encoded(entry.key, entry.meta, {name: data for name, data in members.items() if name != "json"} | made)


@cache
def _encoder(network: Network) -> nn.Module:
    """Make the network, once a process."""
    torch.manual_seed(0)
    return make_visual_encoder(network.name, network.weights, "frozen").eval()


def _npy(values: Tensor) -> bytes:
    file = io.BytesIO()
    array: NDArray[np.float16] = values.numpy().astype(np.float16)
    np.save(file, array, allow_pickle=False)
    return file.getvalue()
