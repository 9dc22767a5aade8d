"""The embedded benchmark: recorded sounds and drawn or cut-out objects over photographs, from the bank in `bank/`."""

from cavs_dist.data.scenes.compose import compose, render_scenes
from cavs_dist.data.scenes.config import PRESETS, ScenesConfig

__all__ = ["PRESETS", "ScenesConfig", "compose", "render_scenes"]
