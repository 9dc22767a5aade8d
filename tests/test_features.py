from pathlib import Path

import numpy as np
import pytest
import torch

from cavs_dist.cli import main
from cavs_dist.data.augment import normalise
from cavs_dist.data.check import check
from cavs_dist.data.config import DataConfig
from cavs_dist.data.decode import STANDARD_LIMITS, load_clip, load_features
from cavs_dist.data.separation import SeparationTransform
from cavs_dist.data.shard import ShardReader, read_split
from cavs_dist.errors import InputError
from cavs_dist.features import Network, add_features, features
from cavs_dist.models.visual import SmallEncoder

NETWORK = Network("small", "", 32)


@pytest.fixture(scope="module")
def featured(scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("featured") / "shards"
    add_features(scenes, folder, NETWORK, STANDARD_LIMITS, workers=1)
    return folder


def test_features_are_the_strongest_places_and_their_changes() -> None:
    torch.manual_seed(0)
    encoder, frames = SmallEncoder("frozen").eval(), torch.randn(70, 3, 32, 32)
    objects, motion = features(frames, encoder)
    with torch.no_grad():
        assert torch.allclose(objects[69], encoder(frames[69:])[-1].amax(dim=(2, 3))[0], atol=1e-5)
    assert objects.shape == (70, 128) and motion.shape == (128, 8)
    torch.testing.assert_close(motion[:, 0], (objects[1:] - objects[:-1])[:9].mean(dim=0))
    assert features(frames[:1], encoder)[1].eq(0).all()


def test_shards_are_copied_with_features_and_stay_whole(scenes: Path, featured: Path) -> None:
    assert not check(featured, workers=1)
    there, here = (read_split(folder, "train")[0] for folder in (scenes, featured))
    assert [clip.key for clip in there.clips] == [clip.key for clip in here.clips][: len(there.clips)]
    entry = here.clips[0]
    assert entry.members.keys() == there.clips[0].members.keys() | {"feature.object.npy", "feature.motion.npy"}
    found = load_features(ShardReader(), entry)
    frames = normalise(load_clip(ShardReader(), entry, STANDARD_LIMITS).frames)
    torch.manual_seed(0)
    objects, motion = features(torch.from_numpy(frames), SmallEncoder("frozen").eval())
    assert np.allclose(found["object"], objects, atol=2e-2) and np.allclose(found["motion"], motion, atol=2e-2)


def test_separation_reads_them_in_the_place_of_frames(featured: Path) -> None:
    config = DataConfig(path=str(featured), step=1.0)
    transform = SeparationTransform(config, {"bell": 0, "cow": 1, "train": 2, "violin": 3}, 3, features=True)
    entries = read_split(featured, "train")[0].clips[:2]
    batch = transform.collate([transform.evaluation(ShardReader(), entry) for entry in entries])
    assert batch.objects.shape == (2, 3, 128) and batch.motion.shape == (2, 128, 8) and not batch.frames.numel()


def test_what_cannot_be_done_is_refused(
    scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InputError, match="read and written at once"):
        add_features(scenes, scenes, NETWORK, STANDARD_LIMITS, workers=1)
    with pytest.raises(InputError, match="has no shards of train, val, test"):
        add_features(tmp_path, tmp_path / "out", NETWORK, STANDARD_LIMITS, workers=1)
    words = ["cavs-dist", "data", "features", str(scenes), str(tmp_path / "out"), "--vision", "smalll", "--weights", ""]
    monkeypatch.setattr("sys.argv", words)
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2 and "neither 'small' nor a timm model" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
