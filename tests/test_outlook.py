from pathlib import Path

import pytest

from cavs_dist.config import load_run
from cavs_dist.outlook import leave_outlook
from cavs_dist.run_folder import RunFolder, read_json
from cavs_dist.setting import open_setting


def foretold(tiny: str, folder: Path, *overrides: str, start: Path | None = None) -> dict[str, object]:
    setting = open_setting(load_run(tiny, [f"out={folder}", *overrides]))
    leave_outlook(setting, RunFolder(start) if start else None)
    outlook = read_json(folder / "outlook.json")
    return {f"{fit['stage']}/{fit['role']}": fit["updates"] for fit in outlook["fits"]} | {
        name: outlook[name] for name in ("stages", "remembers_last")
    }


def test_what_is_foretold_comes(tiny: str, finished: Path, shaken: Path, tmp_path: Path) -> None:
    found = foretold(tiny, tmp_path / "run", start=shaken)
    made = {
        str(path.with_suffix("").relative_to(finished / "stages")): read_json(path.with_suffix(".json"))["updates"]
        for path in finished.glob("stages/*/*.safetensors")
    }
    assert found == made | {"stages": 2, "remembers_last": False}
    assert read_json(finished / "outlook.json") == read_json(tmp_path / "run/outlook.json")


def test_without_a_start_stage_0_is_to_be_trained(tiny: str, tmp_path: Path) -> None:
    found = foretold(tiny, tmp_path / "run")
    assert found["0/main"] == found["0/twin"] != 0


@pytest.mark.parametrize(
    ("override", "fits"),
    [
        ("memory.select=none", {"0/main", "1/main"}),
        ("memory.multimodal=twin", {"0/main", "0/hearing_twin", "0/twin", "1/main"}),
        ("memory.last=true", {"0/main", "0/twin", "1/main", "1/twin"}),
    ],
)
def test_twins_are_foretold_where_they_are_trained(tiny: str, tmp_path: Path, override: str, fits: set[str]) -> None:
    found = foretold(tiny, tmp_path / "run", override)
    assert set(found) - {"stages", "remembers_last"} == fits
    assert found["remembers_last"] == (override == "memory.last=true")


def test_what_memory_decides_is_not_foretold(tiny: str, tmp_path: Path) -> None:
    found = foretold(tiny, tmp_path / "run", "rehearse.mode=concat")
    assert found["0/main"] is not None and found["1/main"] is None
