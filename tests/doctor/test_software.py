import sys
from pathlib import Path

import pytest

from cavs_dist.doctor.software import libraries, python


@pytest.fixture
def made_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The metadata of an installed package `made-up`, to be written by the test."""
    folder = tmp_path / "made_up-1.0.dist-info"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    return folder / "METADATA"


def test_what_is_installed_here_is_in_its_ranges() -> None:
    assert python().verdict == "ok" and sys.version.split()[0] in python().found
    finding = libraries()
    assert finding.verdict == "ok" and "torch 2." in finding.found


def test_other_versions_and_missing_libraries_are_named(made_up: Path) -> None:
    made_up.write_text(
        "Metadata-Version: 2.1\nName: made-up\nVersion: 1.0\nRequires-Python: <3\n"
        "Requires-Dist: numpy<1.5\nRequires-Dist: cavs-nowhere>=2\nRequires-Dist: pillow\n"
        "Requires-Dist: av>=99; extra == 'video'\nRequires-Dist: rich<1; sys_platform == 'win32'\n"
    )
    finding = libraries("made-up")
    assert finding.verdict == "failed"
    assert finding.found.startswith("numpy is ") and finding.found.endswith("not <1.5; cavs-nowhere is missing")
    assert (python("made-up").verdict, python("made-up").found.endswith("<3 is needed")) == ("failed", True)


def test_a_package_that_is_not_installed_is_no_failure() -> None:
    assert libraries("cavs-nowhere").verdict == python("cavs-nowhere").verdict == "warning"
