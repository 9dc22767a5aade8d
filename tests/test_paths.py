from pathlib import Path

import pytest

from cavs_dist.errors import InputError
from cavs_dist.paths import find_config, folder


def test_shipped_folders_are_found_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert (folder("configs") / "base.yaml").is_file()


def test_a_config_is_a_path_or_a_shipped_name(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("seed: 1\n")
    assert find_config(str(own)) == own
    assert find_config("segmentation/cmr") == folder("configs") / "segmentation/cmr.yaml"


@pytest.mark.parametrize("name", ["segmentation/crm", "segmentation", "/nowhere.yaml", ""])
def test_any_other_name_is_answered_with_those_there_are(name: str) -> None:
    with pytest.raises(InputError, match=r"no config .*base, .*segmentation/cmr, segmentation/ewc, segmentation/ewf"):
        find_config(name)
