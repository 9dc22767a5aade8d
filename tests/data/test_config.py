import dataclasses

import pytest

from cavs_dist.data.config import DataConfig


def test_every_key_is_described_and_only_the_path_has_to_be_given() -> None:
    assert DataConfig(path="shards").path == "shards"
    with pytest.raises(TypeError, match="path"):
        DataConfig()  # type: ignore[call-arg]
    described = str(DataConfig.__doc__)
    assert not [field.name for field in dataclasses.fields(DataConfig) if f"{field.name}:" not in described]
