from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import boto3
import pytest
from fsspec.asyn import sync
from loopback import Loopback, serving
from moto.server import ThreadedMotoServer

from cavs_dist.data.index import read_split
from cavs_dist.data.remote.address import Address, parse_address
from cavs_dist.data.remote.answer import Gone
from cavs_dist.data.remote.catalogue import write_catalogue
from cavs_dist.data.remote.config import RemoteConfig
from cavs_dist.data.remote.s3 import S3
from cavs_dist.data.shard import ShardReader
from cavs_dist.errors import InputError


@pytest.fixture
def bucket(data_set: Path, rules: RemoteConfig, monkeypatch: pytest.MonkeyPatch) -> Iterator[Address]:
    """The shards of `data_set` in a bucket of moto's S3, below a prefix with a space in it."""
    moto = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    monkeypatch.setenv("NO_PROXY", host)
    client, name = boto3.client("s3"), f"shards-{uuid4().hex}"  # moto keeps buckets beyond its server
    client.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    write_catalogue(data_set)
    for path in data_set.iterdir():
        client.upload_file(str(path), name, f"my data/v1/{path.name}")
    yield parse_address(f"s3://{name}/my data/v1", replace(rules, buckets=(name,)))
    moto.stop()


def get(address: Address) -> tuple[bytes, int]:
    s3 = S3(address.rules)
    answer: tuple[bytes, int] = sync(s3.loop, s3.get, address, 0, 100)
    return answer


def test_clips_in_a_bucket_are_those_on_disk(bucket: Address, data_set: Path) -> None:
    reader = ShardReader()
    there, here = read_split(bucket, "train"), read_split(data_set, "train")
    assert [reader.read(clip) for index in there for clip in index.clips] == [
        reader.read(clip) for index in here for clip in index.clips
    ]
    reader.close()


def test_what_s3_says_is_understood(bucket: Address) -> None:
    with pytest.raises(Gone, match="404"):
        get(bucket / "not there")
    s3 = S3(bucket.rules)
    with pytest.raises(Gone, match="416"):
        sync(s3.loop, s3.get, bucket / "shards.json", 1 << 40, 1 << 41)


def test_no_credentials_is_a_sentence(bucket: Address, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(InputError, match="needs credentials: set AWS_PROFILE"):
        get(bucket / "shards.json")


def test_a_redirect_is_not_followed(on_server: Address, server: Loopback, data_set: Path) -> None:
    with serving(data_set.parent) as other:
        server.faults.append(f"redirect {other.url}/{data_set.name}/shards.json")
        with pytest.raises(InputError, match="is redirected, which S3 has no need to"):
            get(Address("s3", data_set.name, "shards.json", on_server.rules))
        assert not other.asked and len(server.asked) == 1
