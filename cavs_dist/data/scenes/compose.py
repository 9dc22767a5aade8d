"""The embedded benchmark: clips composed from the bank, and whole splits of them written as shards."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from cavs_dist.data.clip import Clip, Encoded
from cavs_dist.data.decode import encode_clip
from cavs_dist.data.remote.catalogue import write_catalogue
from cavs_dist.data.scenes.config import ScenesConfig
from cavs_dist.data.scenes.items import RATE
from cavs_dist.data.scenes.picture import draw
from cavs_dist.data.scenes.plan import plan
from cavs_dist.data.scenes.sound import heard_in, mix, source
from cavs_dist.data.shard import write_shards

SPLITS = ("train", "val", "test")
RECIPE = 1  # raised when the same options begin to give other clips, so that old shards are not kept


def compose(config: ScenesConfig, split: str, index: int) -> Clip:
    """Make clip `index` of `split`: a function of the seed, the split, the index and the options of what is shown.

    The clip's class is `config.names[index % len(config.names)]`; val is made of the training items. A frame's mask
    holds what is heard in its second (`sound.heard_in`), `silent` every other object in view; an id is 1 + the class's
    position in `config.names`. The waveform is the sum of the sources.
    """
    scene = plan(config, split, index)
    frames, owners = draw(scene, config.size, config.frames)
    samples = round(config.seconds * RATE)
    cues = {actor.name: actor.cue for actor in scene.actors if actor.cue is not None}
    waveform, sources = mix({name: source(cue, samples) for name, cue in cues.items()})
    masks, silent = np.zeros_like(owners), np.zeros_like(owners)
    for number, actor in enumerate(scene.actors, start=1):
        heard = heard_in(sources.get(actor.name, np.zeros(samples, np.float32)), config.frames)
        mine = (owners == number) * np.uint8(1 + config.names.index(actor.name))
        masks += mine * heard[:, None, None]
        silent += mine * ~heard[:, None, None]
    return Clip(
        key=f"{split}-{index:06d}",
        frames=frames,
        masks=masks,
        annotated=np.ones(config.frames, bool),
        waveform=waveform,
        rate=RATE,
        classes=tuple(sorted(cues, key=lambda name: cues[name].start)),
        objects=tuple(actor.name for actor in scene.actors),
        silent=silent,
        sources=sources,
    )


def render_scenes(out: Path, config: ScenesConfig) -> None:
    """Write the splits that `config` asks for as shards into `out`; an interrupted run goes on where it stopped."""
    names = dict(enumerate(config.names, start=1))
    shown = replace(config, train=1, val=0, test=0, workers=1)
    for split in SPLITS:
        write_shards(
            out,
            split,
            range(config.clips(split)),
            partial(_encoded, config, split),
            names,
            clips_per_shard=config.clips_per_shard,
            workers=config.workers,
            what=f"{split} clips",
            plan=f"scenes recipe {RECIPE}: {shown}",
        )
    write_catalogue(out)


def _encoded(config: ScenesConfig, split: str, index: int) -> Encoded:
    return encode_clip(compose(config, split, index))
