"""What a run was made from and what it made, as artifacts of W&B: shards by name and checksum, weights by stage."""

from cavs_dist.config import as_tree
from cavs_dist.curriculum import Stage
from cavs_dist.dashboard.disclose import disclosed
from cavs_dist.dashboard.messages import Artifact, Reference
from cavs_dist.data.index import locate
from cavs_dist.data.shard import read_split
from cavs_dist.setting import Setting
from cavs_dist.track import Track


def name_shards(setting: Setting, track: Track) -> None:
    """Tell from which shards the run learns, and on which it is judged, if `track.artifacts` asks for it."""
    if not track.run_id or setting.run.track.artifacts != "all":
        return
    folder = locate(setting.run.data.path, setting.run.data.remote)
    indexes = [index for split in ("train", "test") for index in read_split(folder, split, damaged=True)]
    track.artifact(
        Artifact(
            name=f"shards-{setting.train.digest[:12]}",
            kind="shards",
            references={index.path.name: Reference(index.size, index.sha256) for index in indexes},
            metadata={"digest": setting.train.digest, "clips": sum(len(index.clips) for index in indexes)},
            used=True,
        )
    )


def keep_weights(setting: Setting, stage: Stage, track: Track) -> None:
    """Have W&B keep the weights after a stage, which began from those before it, if `track.artifacts` asks for it.

    A run that goes on tells of all its stages again: W&B knows by their contents what it has.
    """
    if not track.run_id or setting.run.track.artifacts == "none":
        return
    if stage.index > 0:
        track.artifact(_weights(setting, stage.index - 1, track.run_id, used=True))
    track.artifact(_weights(setting, stage.index, track.run_id, used=False))


def _weights(setting: Setting, stage: int, run_id: str, *, used: bool) -> Artifact:
    products = (setting.folder.product(stage, name) for name in ("main.safetensors", "memory.json"))
    return Artifact(
        name=f"weights-{run_id}",
        kind="weights",
        files={path.name: path.resolve() for path in products if path.exists()},
        aliases=(f"stage-{stage}",),
        metadata={"stage": stage, "config": disclosed(as_tree(setting.run))},
        used=used,
    )
