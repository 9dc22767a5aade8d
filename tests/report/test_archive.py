from pathlib import Path

import numpy as np
import pytest

from cavs_dist.errors import InputError
from cavs_dist.report import archive
from cavs_dist.report.archive import read_arrays


def test_arrays_come_by_name_with_those_of_the_optional_that_there_are(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", a=np.arange(3), b=np.ones(2), c=np.zeros(1))
    found = read_arrays(tmp_path / "a.npz", ("b", "a"), optional=("d", "c"))
    assert list(found) == ["b", "a", "c"]
    assert found["a"].tolist() == [0, 1, 2]


def test_what_is_missing_pickled_or_no_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, a=np.arange(3), pickled=np.array([{"a": 1}], dtype=object))
    for name in ("b", "pickled"):
        with pytest.raises(InputError, match=r"a\.npz is damaged"):
            read_arrays(path, (name,))
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(InputError, match=r"a\.npz is damaged"):
        read_arrays(path, ("a",))


def test_what_would_fill_the_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez_compressed(tmp_path / "bomb.npz", a=np.zeros(1 << 20, np.uint8))
    assert read_arrays(tmp_path / "bomb.npz", ("a",))["a"].size == 1 << 20
    monkeypatch.setattr(archive, "MOST_BYTES", 1 << 20)
    with pytest.raises(InputError, match="unpacks to more"):
        read_arrays(tmp_path / "bomb.npz", ("a",))
