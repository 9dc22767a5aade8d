from pathlib import Path

from loopback import Loopback

from cavs_dist.data.remote.address import Address
from cavs_dist.data.remote.copy import copied


def test_a_shard_and_its_index_are_there_for_as_long_as_needed(data_set: Path, on_server: Address) -> None:
    with copied(on_server / "train-000001.tar") as copy:
        assert copy.name == "train-000001.tar" and copy.is_relative_to(on_server.rules.cache)
        for suffix in (".tar", ".json"):
            assert copy.with_suffix(suffix).read_bytes() == (data_set / f"train-000001{suffix}").read_bytes()
    assert not list(Path(on_server.rules.cache).iterdir())


def test_it_is_as_it_is_on_the_server(data_set: Path, on_server: Address, server: Loopback) -> None:
    (data_set / "train-000001.json").write_text("nonsense")
    (data_set / "train-000001.tar").unlink()
    with copied(on_server / "train-000001.tar") as copy:
        assert not copy.exists() and copy.with_suffix(".json").read_text() == "nonsense"
