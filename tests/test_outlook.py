from pathlib import Path
from typing import Any

import pytest

from cavs_dist.config import load_run
from cavs_dist.outlook import leave_outlook
from cavs_dist.run_folder import RunFolder, read_json
from cavs_dist.setting import open_setting


def foretold(tiny: str, folder: Path, *overrides: str, start: Path | None = None) -> list[dict[str, Any]]:
    setting = open_setting(load_run(tiny, [f"out={folder}", *overrides]))
    leave_outlook(setting, RunFolder(start) if start else None)
    stages: list[dict[str, Any]] = read_json(folder / "outlook.json")["stages"]
    return stages


def test_what_is_foretold_comes(tiny: str, finished: Path, shaken: Path, tmp_path: Path) -> None:
    found = foretold(tiny, tmp_path / "run", start=shaken)
    for number, stage in enumerate(found):
        folder = finished / "stages" / str(number)
        made = {path.stem: read_json(path.with_suffix(".json"))["updates"] for path in folder.glob("*.safetensors")}
        assert stage == {"fits": made, "remembers": (folder / "memory.json").exists()}
    assert read_json(finished / "outlook.json")["stages"] == found


def test_without_a_start_stage_0_is_to_be_trained(tiny: str, tmp_path: Path) -> None:
    fits = foretold(tiny, tmp_path / "run")[0]["fits"]
    assert fits["main"] == fits["twin"] != 0


@pytest.mark.parametrize(
    ("override", "roles", "remember"),
    [
        ("memory.select=none", [["main"], ["main"]], [False, False]),
        ("memory.multimodal=twin", [["main", "hearing_twin", "twin"], ["main"]], [True, False]),
        ("memory.last=true", [["main", "twin"], ["main", "twin"]], [True, True]),
    ],
)
def test_twins_are_foretold_where_they_are_trained(
    tiny: str, tmp_path: Path, override: str, roles: list[list[str]], remember: list[bool]
) -> None:
    found = foretold(tiny, tmp_path / "run", override)
    assert [list(stage["fits"]) for stage in found] == roles
    assert [stage["remembers"] for stage in found] == remember


def test_what_memory_decides_is_not_foretold(tiny: str, tmp_path: Path) -> None:
    before, after = foretold(tiny, tmp_path / "run", "rehearse.mode=concat")
    assert before["fits"]["main"] is not None and after["fits"]["main"] is None
