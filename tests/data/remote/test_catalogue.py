import json
from pathlib import Path
from typing import Any

import pytest
from loopback import Loopback

from cavs_dist.data.remote.address import Address
from cavs_dist.data.remote.catalogue import make_catalogue, read_catalogue, write_catalogue
from cavs_dist.errors import InputError


def test_it_lists_the_indexes_and_only_these(data_set: Path, on_server: Address) -> None:
    for name in ("manifest.json", "notes.json", ".train-000000.json.tmp"):
        (data_set / name).write_text("{}")
    write_catalogue(data_set)
    read = read_catalogue(on_server)
    assert list(read) == ["train-000000.json", "train-000001.json"]
    for name, file in read.items():
        assert file.address == on_server / name and file.whole() == (data_set / name).read_bytes()


def test_the_same_indexes_give_the_same_text(data_set: Path) -> None:
    assert write_catalogue(data_set).read_text() == make_catalogue(data_set) == write_catalogue(data_set).read_text()


def test_a_folder_without_shards_has_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no indexes"):
        write_catalogue(tmp_path)


def test_a_folder_without_one_is_refused_with_how_to_make_it(data_set: Path, on_server: Address) -> None:
    (data_set / "shards.json").unlink()
    with pytest.raises(InputError, match=r"shards\.json cannot be read: .*run `cavs-dist data catalogue FOLDER`"):
        read_catalogue(on_server)


ENTRY = [5, "ab" * 32]


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ([], "'format' is None"),
        ({"format": 2, "indexes": {}}, "newer than 1"),
        ({"format": 1}, "'indexes' is None"),
        ({"format": 1, "indexes": {"../../etc-0.json": ENTRY}}, "expected a name"),
        ({"format": 1, "indexes": {"a%2f-0.json": ENTRY}}, "expected a name"),
        ({"format": 1, "indexes": {"train-0.tar": ENTRY}}, "expected a name"),
        ({"format": 1, "indexes": {"train-0.json": "ab"}}, "expected a name"),
        ({"format": 1, "indexes": {"train-0.json": [1 << 40, "ab" * 32]}}, "'size' is"),
        ({"format": 1, "indexes": {"train-0.json": [5, "../" * 21 + "a"]}}, "64 hexadecimal"),
        ({"format": 1, "indexes": {"train-0.json": [5, "AB" * 32]}}, "64 hexadecimal"),
    ],
)
def test_a_false_one_is_refused(data_set: Path, on_server: Address, record: Any, message: str) -> None:
    (data_set / "shards.json").write_text(json.dumps(record))
    with pytest.raises(InputError, match=f"shards.json: .*{message}"):
        read_catalogue(on_server)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "\xff\xfe"])
def test_what_is_no_json_is_refused(data_set: Path, on_server: Address, text: str) -> None:
    (data_set / "shards.json").write_text(text, encoding="latin-1")
    with pytest.raises(InputError, match=r"shards\.json"):
        read_catalogue(on_server)


def test_an_index_that_is_not_the_listed_one_is_refused(data_set: Path, on_server: Address, server: Loopback) -> None:
    path = data_set / "train-000001.json"
    path.write_text(path.read_text().replace("dog", "cat"))
    with pytest.raises(InputError, match=r"train-000001\.json is not what its folder's shards\.json says"):
        read_catalogue(on_server)["train-000001.json"].whole()
    assert len([path for path, _ in server.asked if path.endswith("train-000001.json")]) == 2
