"""Every method learns two stages, on one process, from one first stage that knows something of every clip."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from cavs_dist.config import load_run
from cavs_dist.methods import METHODS
from cavs_dist.run_folder import read_json
from cavs_dist.trainer import train

NOTHING = ["memory.select=none", "rehearse.weight=uniform"]
RANDOM = ["memory.select=random", "rehearse.weight=uniform"]
# What each is run with beside its name, and the terms of its loss in stage 1.
RUNS = {
    "fine_tune": (NOTHING, {"segment"}),
    "joint": (NOTHING, {"segment"}),
    "replay": (RANDOM, {"segment"}),
    "ewc": (NOTHING, {"segment", "hold"}),
    "ewf": (NOTHING, {"segment"}),
    "lwf": (NOTHING, {"segment", "distill"}),
    "mib": (NOTHING, {"segment", "distill"}),
    "plop": (NOTHING, {"segment", "pod"}),
    "cmr": ([], {"segment", "pod"}),
}


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_every_method_is_run() -> None:
    assert RUNS.keys() == METHODS["segmentation"].keys()


@pytest.mark.parametrize("method", RUNS)
def test_a_method_learns_two_stages(method: str, tiny: str, shaken: Path, tmp_path: Path) -> None:
    overrides, terms = RUNS[method]
    train(load_run(tiny, [f"out={tmp_path}", f"train.start={shaken}", f"method.name={method}", *overrides]))
    updates = [line for line in lines(tmp_path) if line.get("phase") == "main"]
    assert len(updates) == read_json(tmp_path / "stages/1/main.json")["updates"] > 0
    for line in updates:
        found = {key.removeprefix("loss/"): line[key] for key in line if key.startswith("loss/")}
        assert found.keys() == terms
        assert math.isfinite(line["loss"]) and line["loss"] == pytest.approx(sum(found.values()))
    record = read_json(tmp_path / "stages/1/evaluation.json")
    assert len(record["iou"]) == 5 and all(math.isfinite(value) for value in record["iou"])
    assert record["metrics"]["new"] is not None
    # 2 exemplars for each of the first stage's 2 classes, none for the last stage's.
    kept = {} if "memory.select=none" in overrides else {"bell": 2, "cow": 2}
    memory = tmp_path / "stages/0/memory.json"
    assert memory.exists() == bool(kept) and not (tmp_path / "stages/1/memory.json").exists()
    assert not kept or {name: len(clips) for name, clips in read_json(memory)["classes"].items()} == kept
    assert (tmp_path / "stages/0/twin.safetensors").exists() == (method == "cmr")
    assert not (tmp_path / "stages/1/twin.safetensors").exists()
