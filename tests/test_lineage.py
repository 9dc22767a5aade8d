from pathlib import Path

from cavs_dist.config import as_tree, load_run
from cavs_dist.data.shard import read_split
from cavs_dist.lineage import keep_weights, name_shards
from cavs_dist.setting import open_setting
from cavs_dist.track import Track
from tests.offline_run import OfflineRun, read_offline


def told(finished: Path, folder: Path, *overrides: str) -> OfflineRun:
    """Tell a track below `folder` of the artifacts of a finished run."""
    folder.mkdir()
    config = str(finished / "config.yaml")
    setting = open_setting(load_run(config, [f"out={finished}", "track.wandb=offline", *overrides]))
    with Track(folder, setting.run.track, as_tree(setting.run), resume_update=None) as track:
        name_shards(setting, track)
        for stage in setting.stages:
            keep_weights(setting, stage, track)
    [run] = read_offline(folder)
    return run


def test_a_stage_begins_from_the_weights_before_it_and_all_from_shards(
    finished: Path, scenes: Path, tmp_path: Path
) -> None:
    run = told(finished, tmp_path / "log", "track.artifacts=all")
    shards, *weights = run.artifacts
    assert shards.type == "shards" and shards.use_after_commit
    indexes = [index for split in ("train", "test") for index in read_split(scenes, split)]
    assert {(one.path, one.size, one.ref, one.digest) for one in shards.manifest.contents} == {
        (index.path.name, index.size, f"sha256:{index.sha256}", index.sha256) for index in indexes
    }
    assert str(scenes.parent) not in str(shards)
    assert {one.name for one in weights} == {f"weights-{run.run.run_id}"}
    assert [("stage-0" in one.aliases, "stage-1" in one.aliases, one.use_after_commit) for one in weights] == [
        (True, False, False),
        (True, False, True),
        (False, True, False),
    ]
    first, again, last = ({one.path: one for one in each.manifest.contents} for each in weights)
    assert set(first) == {"main.safetensors", "memory.json"} and set(last) == {"main.safetensors"}
    assert first["main.safetensors"].digest == again["main.safetensors"].digest != last["main.safetensors"].digest
    assert first["main.safetensors"].size == (finished / "stages/0/main.safetensors").stat().st_size


def test_weights_alone_and_nothing(finished: Path, tmp_path: Path) -> None:
    run = told(finished, tmp_path / "weights", "track.artifacts=weights")
    assert {one.type for one in run.artifacts} == {"weights"}
    assert not told(finished, tmp_path / "none").artifacts
