from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from loopback import Loopback, serving

from cavs_dist.data.clip import Clip, Encoded
from cavs_dist.data.decode import encode_clip
from cavs_dist.data.remote.address import Address, parse_address
from cavs_dist.data.remote.catalogue import write_catalogue
from cavs_dist.data.remote.config import RemoteConfig
from cavs_dist.data.shard import write_shards

NAMES = {1: "guitar", 7: "dog"}


def small_clip(number: int) -> Clip:
    """Three frames of 12 x 16, the last without a mask, half a second of sound."""
    rng = np.random.default_rng(number)
    masks = np.full((3, 12, 16), 255, np.uint8)
    masks[:2] = rng.choice([0, 1, 7, 255], size=(2, 12, 16))
    waveform = rng.uniform(-1, 1, 4000).astype(np.float32)
    return Clip(
        key=f"clip-{number}",
        frames=rng.integers(0, 256, (3, 12, 16, 3), np.uint8),
        masks=masks,
        annotated=np.array([True, True, False]),
        waveform=waveform,
        rate=8000,
        classes=("dog", "guitar") if number % 2 else ("dog",),
        objects=("guitar", "dog"),
        silent=np.where(masks == 255, masks, 0).astype(np.uint8),
        sources={"dog": waveform / 2},
    )


def encoded(number: int) -> Encoded:
    return encode_clip(small_clip(number), frame_format="png")


@pytest.fixture
def make_clip() -> Callable[[int], Clip]:
    """Number -> a small clip."""
    return small_clip


@pytest.fixture
def data_set(tmp_path: Path) -> Path:
    """A folder with five clips in two training shards."""
    write_shards(tmp_path, "train", range(5), encoded, NAMES, clips_per_shard=3)
    return tmp_path


@pytest.fixture
def server(data_set: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Loopback]:
    """A server that has `data_set` as a folder, or as a bucket of S3."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    write_catalogue(data_set)
    with serving(data_set.parent) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a-name")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-secret")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
        yield server


@pytest.fixture
def rules(server: Loopback, data_set: Path, tmp_path_factory: pytest.TempPathFactory) -> RemoteConfig:
    """Rules by which `server` may be asked, with little patience and an empty cache."""
    return RemoteConfig(
        schemes=("http", "s3"),
        hosts=(server.host,),
        buckets=(data_set.name,),
        cache=str(tmp_path_factory.mktemp("cache")),
        attempts=3,
        backoff=0.01,
        connect=1.0,
        read=0.5,
        request=1.5,
    )


@pytest.fixture
def on_server(server: Loopback, rules: RemoteConfig, data_set: Path) -> Address:
    """Where `data_set` lies on `server`."""
    return parse_address(f"{server.url}/{data_set.name}", rules)
