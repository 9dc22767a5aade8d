from pathlib import Path

import pytest

from cavs_dist.data.inspect import inspect
from cavs_dist.errors import InputError


def test_what_is_counted(data_set: Path) -> None:
    inspection = inspect(data_set)
    assert inspection.names == {1: "guitar", 7: "dog"}
    (split,) = inspection.splits
    assert (split.split, split.shards, split.clips, split.rejected) == ("train", 2, 5, 0)
    assert (split.frames, split.annotated, split.seconds) == (15, 10, 2.5)
    assert split.sizes == {(12, 16): 5}
    assert split.classes == {"dog": 5, "guitar": 2}
    assert split.pairs == {("dog", "guitar"): 2}
    assert split.bytes == sum(path.stat().st_size for path in data_set.glob("*.tar"))


def test_no_tar_is_opened(data_set: Path) -> None:
    expected = inspect(data_set)
    for tar in data_set.glob("*.tar"):
        tar.write_bytes(bytes(tar.stat().st_size))
    assert inspect(data_set) == expected


def test_a_folder_without_shards(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no shards"):
        inspect(tmp_path)
