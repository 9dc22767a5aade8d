import os
import tempfile
from pathlib import Path

import pytest

from cavs_kernels.cache import keep_cache_on_this_node


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the cache goes by itself, in a folder for temporary files of the test's own."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TRITON_CACHE_DIR", "")  # so that it is put back at the end
    monkeypatch.delenv("TRITON_CACHE_DIR")
    return tmp_path / f"cavs_kernels-{os.getuid()}"


def test_it_is_a_folder_of_the_user_alone_and_found_again(place: Path) -> None:
    for _ in range(2):
        os.environ.pop("TRITON_CACHE_DIR", None)
        keep_cache_on_this_node()
        assert os.environ["TRITON_CACHE_DIR"] == str(place)
        assert place.stat().st_mode & 0o777 == 0o700


def test_a_folder_that_others_may_write_to_is_not_trusted(place: Path) -> None:
    place.mkdir()
    place.chmod(0o777)
    keep_cache_on_this_node()
    used = Path(os.environ["TRITON_CACHE_DIR"])
    assert used != place and used.stat().st_mode & 0o777 == 0o700


def test_nor_is_a_link(place: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    place.symlink_to(tmp_path / "elsewhere")
    keep_cache_on_this_node()
    assert Path(os.environ["TRITON_CACHE_DIR"]) not in (place, tmp_path / "elsewhere")


def test_what_the_user_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_CACHE_DIR", "/somewhere")
    keep_cache_on_this_node()
    assert os.environ["TRITON_CACHE_DIR"] == "/somewhere"
