import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cavs_dist.data.index import ShardIndex, locate, plain_path, read_index, read_split, splits_in, write_index
from cavs_dist.data.remote.address import Address
from cavs_dist.data.remote.catalogue import write_catalogue
from cavs_dist.data.remote.config import RemoteConfig
from cavs_dist.errors import InputError

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 1 << 40) | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


def edit(path: Path, **fields: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def test_round_trip(data_set: Path) -> None:
    index = read_index(data_set / "train-000000.json")
    assert [clip.key for clip in index.clips] == ["clip-0", "clip-1", "clip-2"]
    assert index.names == {1: "guitar", 7: "dog"} and index.shards == 2
    before = (data_set / "train-000000.json").read_bytes()
    assert write_index(index).read_bytes() == before


def test_a_truncated_shard_is_named_with_both_sizes(data_set: Path) -> None:
    shard = data_set / "train-000001.tar"
    size = shard.stat().st_size
    os.truncate(shard, size - 1024)
    with pytest.raises(InputError, match=rf"train-000001.tar has {size - 1024} bytes, its index says {size}"):
        read_split(data_set, "train")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"format": 2}, "format 2 is newer than 1"),
        ({"shard": "../../etc/train-000000.tar"}, "it describes"),
        ({"count": 4}, "4, but 3 clips"),
        ({"names": {"0": "background"}}, "names"),
        ({"names": {"1": "dog", "2": "dog"}}, "twice"),
        ({"rejected": [["key"]]}, "rejected"),
    ],
)
def test_a_false_index_is_refused(data_set: Path, fields: dict[str, object], message: str) -> None:
    edit(data_set / "train-000000.json", **fields)
    with pytest.raises(InputError, match=message):
        read_index(data_set / "train-000000.json")


def test_a_member_outside_the_shard_is_refused(data_set: Path) -> None:
    path = data_set / "train-000000.json"
    clips = json.loads(path.read_text())["clips"]
    clips[1]["members"]["audio.flac"][1] = 1 << 30
    edit(path, clips=clips)
    with pytest.raises(InputError, match="'clip-1': 'size' is 1073741824"):
        read_index(path)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_index_raises_anything_else(data_set: Path, data: st.DataObject) -> None:
    whole: Any = json.loads((data_set / "train-000001.json").read_text())
    parent = whole
    while isinstance(parent, dict | list) and parent:
        place = data.draw(st.sampled_from(sorted(parent) if isinstance(parent, dict) else range(len(parent))))
        if not isinstance(parent[place], dict | list) or not parent[place] or data.draw(st.booleans()):
            parent[place] = data.draw(ANYTHING)
            break
        parent = parent[place]
    path = data_set / "other-000000.json"
    path.write_text(json.dumps({**whole, "shard": "other-000000.tar"} if isinstance(whole, dict) else whole))
    (data_set / "other-000000.tar").write_bytes((data_set / "train-000001.tar").read_bytes())
    try:
        assert isinstance(read_index(path), ShardIndex)
    except InputError as error:
        assert "other-000000" in str(error)


def test_what_a_split_must_be(data_set: Path) -> None:
    assert splits_in(data_set) == ("train",)
    with pytest.raises(InputError, match="found train"):
        read_split(data_set, "test")
    edit(data_set / "train-000001.json", names={"1": "guitar"})
    with pytest.raises(InputError, match="disagree on the names"):
        read_split(data_set, "train")
    (data_set / "train-000001.json").unlink()
    with pytest.raises(InputError, match="has no index"):
        read_split(data_set, "train")
    (data_set / "train-000001.tar").unlink()
    with pytest.raises(InputError, match="1 of 2"):
        read_split(data_set, "train")


def test_a_key_in_two_shards_is_refused(data_set: Path) -> None:
    path = data_set / "train-000001.json"
    clips = json.loads(path.read_text())["clips"]
    clips[0]["key"] = "clip-0"
    edit(path, clips=clips)
    with pytest.raises(InputError, match=r"'clip-0' is in .*000000.tar and again in .*000001.tar"):
        read_split(data_set, "train")


@pytest.mark.parametrize("path", ["pipe:cat x", "http://host/x", "https:/host", "file:/x", "s3://b"])
def test_only_plain_paths(path: str) -> None:
    for refused in (path, Path(path)):
        with pytest.raises(InputError, match="not a plain path"):
            plain_path(refused)
    with pytest.raises(InputError, match="not a plain path"):
        read_split(Path(path), "train")


def test_a_place_is_a_folder_or_a_listed_address() -> None:
    rules = RemoteConfig(hosts=("example.org",))
    assert locate("shards", rules) == Path("shards")
    assert str(locate("https://example.org/shards", rules)) == "https://example.org/shards"
    for text, message in (("pipe:curl https://example.org", "is not a plain path"), ("https://h/x", "may not be read")):
        with pytest.raises(InputError, match=message):
            locate(text, rules)


def test_a_split_on_a_server_is_the_one_on_disk(data_set: Path, on_server: Address) -> None:
    assert splits_in(on_server) == splits_in(data_set) == ("train",)
    there, here = read_split(on_server, "train"), read_split(data_set, "train")
    assert [(one.sha256, one.size, one.names) for one in there] == [(one.sha256, one.size, one.names) for one in here]
    assert str(there[1].path) == f"{on_server}/train-000001.tar"
    with pytest.raises(InputError, match=r"has no shards val-000000\.tar \.\.\.: found train"):
        read_split(on_server, "val")


def test_a_false_index_on_a_server_is_refused(data_set: Path, on_server: Address) -> None:
    edit(data_set / "train-000001.json", sha256="../../../etc")
    write_catalogue(data_set)
    with pytest.raises(InputError, match=r"index http.*train-000001\.json: 'sha256' is '\.\./.*64 hexadecimal"):
        read_split(on_server, "train")
    edit(data_set / "train-000001.json", sha256="one that is in no cache")
    write_catalogue(data_set)
    (data_set / "train-000001.json").unlink()
    with pytest.raises(InputError, match=r"index http.*train-000001\.json cannot be read: the server has no such"):
        read_split(on_server, "train")
