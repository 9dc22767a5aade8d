import errno
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from cavs_dist.errors import InputError
from cavs_dist.files import disk_error, whole, writing

RoomFor = Callable[[int], AbstractContextManager[None]]
MUCH = torch.zeros(100_000)


def save_through_a_file(path: Path) -> None:
    with path.open("wb") as file:
        torch.save({"much": MUCH}, file)


WRITERS: dict[str, Callable[[Path], object]] = {
    "text": lambda path: path.write_text("x" * 200_000),
    "torch": lambda path: torch.save({"much": MUCH}, path),
    "torch, through a file": save_through_a_file,
    "safetensors": lambda path: save_file({"much": MUCH}, path),
    "numpy": lambda path: np.savez(path.open("wb"), much=MUCH.numpy()),
}


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file"
    for text in ("first and long", "second"):
        with whole(path) as beside:
            beside.write_text(text)
            assert not path.exists() or path.read_text() != text
    assert path.read_text() == "second"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("writer", WRITERS)
def test_a_full_disk_is_one_sentence_and_leaves_what_was_there(writer: str, room_for: RoomFor, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("before")
    with room_for(100_000), pytest.raises(InputError, match=r"file cannot be written: .*; free some space and run the"):  # noqa: SIM117
        with whole(path) as beside:
            WRITERS[writer](beside)
    assert [file.read_text() for file in tmp_path.iterdir()] == ["before"]


def test_what_is_no_disk_error_stays_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="of another kind"), whole(tmp_path / "file") as beside:
        beside.touch()
        raise RuntimeError("of another kind")
    assert not list(tmp_path.iterdir())


def test_a_place_that_takes_nothing_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"file/below cannot be written: .*; make it writable"):  # noqa: SIM117
        with whole(tmp_path / "file" / "below"):
            pass
    with pytest.raises(InputError, match=f"cannot be written: {os.strerror(errno.EROFS)}"), writing(tmp_path):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))


def test_the_number_is_found_in_what_wraps_it() -> None:
    wrapped = RuntimeError("unexpected pos")
    wrapped.__context__ = OSError(errno.EDQUOT, "quota")
    assert disk_error(wrapped) == errno.EDQUOT
    assert disk_error(RuntimeError("alone")) is None
