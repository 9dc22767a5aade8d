"""Run folders made by hand, with what a run leaves in them."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

MakeRun = Callable[..., Path]
OUTLOOK = {
    "format": 1,
    "stages": [
        {"remembers": False, "fits": {"main": 20, "twin": 10}},
        {"remembers": False, "fits": {"main": 30}},
    ],
}


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """Make a run folder below `tmp_path`, held by nobody. done: fits by `stage/role`; judged: stages."""

    def make_run(
        name: str = "run",
        *,
        outlook: Mapping[str, Any] | None = OUTLOOK,
        lines: list[dict[str, Any]] | None = None,
        done: Mapping[str, int] | None = None,
        judged: int = 0,
        files: Mapping[str, str] | None = None,
    ) -> Path:
        folder = tmp_path / name
        texts = {"config.yaml": "method: {name: cmr}\nseed: 3\n", "lock": "process 7 on nowhere"} | dict(files or {})
        if outlook is not None:
            texts["outlook.json"] = json.dumps(outlook)
        texts["metrics.jsonl"] = "".join(json.dumps(one) + "\n" for one in lines or [])
        for fit, updates in (done or {}).items():
            texts |= {f"stages/{fit}.safetensors": "", f"stages/{fit}.json": json.dumps({"updates": updates})}
        for stage in range(judged):
            metrics = {"all": 0.25 + stage, "old": None}
            texts[f"stages/{stage}/evaluation.json"] = json.dumps({"format": 1, "metrics": metrics})
        for path, text in texts.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
        return folder

    return make_run
