"""The section `data`."""

from dataclasses import dataclass, field
from typing import Literal

from cavs_dist.data.augment import AugmentConfig
from cavs_dist.data.decode import Limits
from cavs_dist.data.order import Tail
from cavs_dist.data.pairing import Pairing
from cavs_dist.data.remote.config import RemoteConfig


@dataclass(frozen=True)
class MixConfig:
    """The section `data.mix`, of tasks that mix clips two by two.

    rate: of waveforms, Hz. samples: of a crop. gain: largest change of a source's amplitude in training, as a share.
    margin: frames at either end of a clip that are never the middle of a training crop. pairing: what a training clip
    is mixed with: a clip whose class is another, or any, itself included (as ContAV-Sep was released).
    """

    rate: int = 11_025
    samples: int = 65_535
    gain: float = 0.5
    margin: int = 0
    pairing: Pairing = "different_class"


@dataclass(frozen=True)
class DataConfig:
    """The section `data`.

    path: the folder of the shards, or its address on a server: https://HOST/FOLDER or s3://BUCKET/FOLDER.
    sources: use all clips, or those with a single sounding class, or with several.
    size: side of the square frames, pixels. frames: that a training clip is sampled down or padded up to, 0 for all.
    step: seconds between the sounds of two frames (VGGish's 0.96 s, or 1.0 where frames are one second apart).
    window: clips within which the order is shuffled. tail: what becomes of the clips that do not fill an update.
    workers: processes that read, on each rank. on_corrupt: what a clip that cannot be read does; with `skip` its
    neighbour takes its slot. corrupt_budget: how many different ones a rank skips, in one pass over a stage's training
    or in one evaluation, before the run ends. augment: what training does to a clip. mix: how clips become mixtures, in
    separation. limits: what a clip may cost. remote: which servers may be asked, and how.
    """

    path: str
    sources: Literal["any", "single", "multiple"] = "any"
    size: int = 224
    frames: int = 0
    step: float = 0.96
    window: int = 2048
    tail: Tail = "drop"
    workers: int = 2
    on_corrupt: Literal["error", "skip"] = "error"
    corrupt_budget: int = 10
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    mix: MixConfig = field(default_factory=MixConfig)
    limits: Limits = field(default_factory=Limits)
    remote: RemoteConfig = field(default_factory=RemoteConfig)
