"""Messages as W&B has them. The step is the update: what is told again after a crash is then known already."""

import wandb
from wandb.sdk.artifacts.artifact_manifest_entry import ArtifactManifestEntry

from cavs_dist.dashboard.messages import Artifact, Media, Picture, Row, Sound, Table


def show(run: wandb.Run, message: Row | Table | Media | Artifact) -> None:
    """Log a message."""
    match message:
        case Row():
            _log(run, message.update, dict(message.values))
        case Table():
            rows = [list(row) for row in message.rows]
            _log(run, message.update, {message.name: wandb.Table(columns=list(message.columns), data=rows)})
        case Media():
            _log(run, message.update, {message.name: [_medium(item) for item in message.items]})
        case Artifact():
            _keep(run, message)


def _log(run: wandb.Run, update: int, values: dict[str, object]) -> None:
    run.log({"update": update, **values}, step=update)


def _medium(item: Picture | Sound) -> object:
    if isinstance(item, Sound):
        return wandb.Audio(item.samples, sample_rate=item.rate, caption=item.caption)
    labels = dict(item.labels)
    masks = {name: {"mask_data": mask, "class_labels": labels} for name, mask in item.masks.items()}
    return wandb.Image(item.pixels, caption=item.caption, masks=masks or None)


def _keep(run: wandb.Run, message: Artifact) -> None:
    artifact = wandb.Artifact(message.name, type=message.kind, metadata=dict(message.metadata))
    for name, path in message.files.items():
        artifact.add_file(str(path), name=name, policy="immutable", skip_cache=True)
    for name, reference in message.references.items():
        # `add_reference` would read the file for its checksum, and tell where it lies.
        digest, place = reference.sha256, f"sha256:{reference.sha256}"
        artifact.manifest.add_entry(ArtifactManifestEntry(path=name, digest=digest, ref=place, size=reference.size))
    if message.used:
        # `use_artifact` refuses to work offline, and waits for the server online; this is what it does besides.
        run._log_artifact(artifact, aliases=list(message.aliases), is_user_created=True, use_after_commit=True)
    else:
        run.log_artifact(artifact, aliases=list(message.aliases))
