import json
from pathlib import Path

import pytest

from cavs_dist.errors import InputError
from cavs_dist.seal import MARKER, Damaged, Seal, fingerprints, flaw, read_seal, write_seal

POSITION = {"update": 4, "rehearsal": {"counts": [0.1 + 0.2, 1e-308, -0.0]}, "best": None}


@pytest.fixture
def sealed(tmp_path: Path) -> tuple[Path, Seal]:
    files = [tmp_path / "deep" / "one", tmp_path / "two"]
    files[0].parent.mkdir()
    for file in files:
        file.write_text(file.name)
    seal = Seal(POSITION, fingerprints(tmp_path, files))
    write_seal(tmp_path, seal)
    return tmp_path, seal


def test_a_seal_reads_back_to_the_bit(sealed: tuple[Path, Seal]) -> None:
    folder, seal = sealed
    assert read_seal(folder) == seal and set(seal.files) == {"deep/one", "two"}
    assert repr(read_seal(folder).position) == repr(POSITION)
    assert flaw(folder, seal.files) == ""


def test_a_flaw_is_named(sealed: tuple[Path, Seal]) -> None:
    folder, seal = sealed
    (folder / "two").write_text("tvo")
    assert flaw(folder, seal.files) == "two was edited"
    (folder / "deep/one").write_text("on")
    assert flaw(folder, seal.files) == "deep/one has 2 bytes, not 3"
    (folder / "deep/one").unlink()
    assert flaw(folder, seal.files) == "deep/one cannot be read: No such file or directory"


def test_a_marker_that_is_not_as_written_is_damage_and_a_newer_one_is_not(sealed: tuple[Path, Seal]) -> None:
    folder, _ = sealed
    marker = folder / MARKER
    honest = marker.read_text()
    for text in (honest.replace('"update": 4', '"update": 5'), honest[:-9], "[]", '{"format": 1}'):
        marker.write_text(text)
        with pytest.raises(Damaged, match="edited"):
            read_seal(folder)
    marker.write_text(json.dumps({**json.loads(honest), "format": 2}))
    with pytest.raises(InputError, match="upgrade it"):
        read_seal(folder)
    marker.unlink()
    with pytest.raises(Damaged, match="is missing"):
        read_seal(folder)
