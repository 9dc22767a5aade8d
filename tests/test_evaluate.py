import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from cavs_dist.config import load_run
from cavs_dist.errors import InputError
from cavs_dist.evaluate import evaluate, judge_kept
from cavs_dist.run_folder import read_json
from cavs_dist.setting import open_setting


def judge(finished: Path, batch: int, split: str = "test") -> list[dict[str, Any]]:
    overrides = [f"out={finished}", f"evaluate.batch={batch}"]
    return judge_kept(open_setting(load_run(str(finished / "config.yaml"), overrides)), split)


@pytest.mark.parametrize("batch", [1, 5])
def test_the_batch_changes_nothing(finished: Path, batch: int) -> None:
    for stage, record in enumerate(judge(finished, batch)):
        known = read_json(finished / f"stages/{stage}/evaluation.json")
        assert record["clips"] == known["clips"] == 12
        assert record["confusion"] == known["confusion"]
        assert record["metrics"].keys() == known["metrics"].keys()
        for name, value in known["metrics"].items():
            assert record["metrics"][name] == (None if value is None else pytest.approx(value, abs=1e-6)), name


def test_records_are_written_and_metrics_shown(finished: Path, tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*")}
    console = Console(width=160, file=(tmp_path / "shown").open("w+"), force_terminal=False)
    evaluate(finished, "val", 0, tmp_path / "records.json", console)
    console.file.flush()
    records = json.loads((tmp_path / "records.json").read_text())
    assert [(record["stage"], record["clips"]) for record in records] == [(0, 8), (1, 8)]
    assert f"{records[1]['metrics']['all']:.4f}" in (tmp_path / "shown").read_text()
    assert {path: path.stat().st_mtime_ns for path in finished.rglob("*")} == before


def test_only_finished_stages_are_judged(finished: Path, tmp_path: Path) -> None:
    run = shutil.copytree(finished, tmp_path / "run")
    (run / "stages/1/main.safetensors").unlink()
    assert len(judge(run, 4)) == 1
    (run / "stages/0/main.safetensors").unlink()
    with pytest.raises(InputError, match="has no finished stage yet"):
        judge(run, 4)


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is no run folder: it has no config\.yaml"):
        evaluate(tmp_path, "test", 0, None, Console())
