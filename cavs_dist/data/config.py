"""The section `data`."""

from dataclasses import dataclass, field
from typing import Literal

from cavs_dist.data.augment import AugmentConfig
from cavs_dist.data.decode import Limits
from cavs_dist.data.order import Tail


@dataclass(frozen=True)
class DataConfig:
    """The section `data`.

    path: the folder of the shards. sources: use all clips, or those with a single sounding class, or with several.
    size: side of the square frames, pixels. frames: that a training clip is sampled down or padded up to, 0 for all.
    step: seconds between the sounds of two frames (VGGish's 0.96 s, or 1.0 where frames are one second apart).
    window: clips within which the order is shuffled. tail: what becomes of the clips that do not fill an update.
    workers: processes that read, on each rank. on_corrupt: what a clip that cannot be read does; with `skip` its
    neighbour takes its slot. corrupt_budget: how many different ones a rank skips, in one pass over a stage's training
    or in one evaluation, before the run ends. augment: what training
    does to a clip. limits: what a clip may cost.
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
    limits: Limits = field(default_factory=Limits)
