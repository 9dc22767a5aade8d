import os
from pathlib import Path

import pytest
import torch

from cavs_dist.engine_files import FilesOnDisk, plain_link, reading, running_nothing
from cavs_dist.errors import InputError


class Trap:
    """Pickled, it makes a folder where reading it runs it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return os.mkdir, (str(self.path),)


def test_nothing_is_run_whatever_the_caller_asks_of_torch(tmp_path: Path) -> None:
    file, sprung = tmp_path / "file.pt", tmp_path / "sprung"
    torch.save({"trap": Trap(sprung)}, file)
    with pytest.raises(InputError, match=r"cannot be read .*: remove it"), reading(tmp_path) as link:
        torch.load(link / "file.pt", weights_only=False)
    assert not sprung.exists()
    torch.load(file, weights_only=False)  # the trap works, where it is let
    assert sprung.exists()


def test_the_environment_is_left_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    for before in ("0", None):
        if before is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, before)
        with running_nothing():
            assert os.environ[name] == "1"
        assert os.environ.get(name) == before


def test_a_file_is_noted_once_it_is_written_and_a_problem_waits(tmp_path: Path) -> None:
    files = FilesOnDisk(None)
    files.save({"a": torch.ones(2)}, str(tmp_path / "file.pt"))
    files.save({"a": torch.ones(2)}, str(tmp_path / "nowhere" / "file.pt"))
    assert files.written == [tmp_path / "file.pt"]
    assert "nowhere/file.pt cannot be written: No such file" in files.problem
    assert torch.load(tmp_path / "file.pt")["a"].tolist() == [1, 1]


def test_a_link_has_a_plain_path(tmp_path: Path) -> None:
    odd = tmp_path / "a [b+c]"
    odd.mkdir()
    with plain_link(odd) as link:
        (link / "file").touch()
        assert "[" not in str(link)
    assert (odd / "file").exists() and not link.exists()
