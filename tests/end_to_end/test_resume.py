"""Killed without warning and started again, a run ends where an uninterrupted one does, bit for bit."""

import json
import random
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cavs_dist.config import load_run
from cavs_dist.errors import InputError
from cavs_dist.order import order_of_config
from cavs_dist.run_folder import RunFolder, read_json
from cavs_dist.trainer import train

Start = Callable[..., "subprocess.Popen[str]"]
WaitFor = Callable[["subprocess.Popen[str]", Path, int], None]
PATIENCE = 120


def lines(folder: Path) -> list[dict[str, Any]]:
    path = folder / "metrics.jsonl"
    whole = path.read_text().split("\n")[:-1] if path.exists() else []
    return [json.loads(line) for line in whole]


def learned(folder: Path) -> dict[int, tuple[float, float]]:
    """The loss and the norm of the gradient of each update."""
    made = [line for line in lines(folder) if "loss" in line]
    assert len({line["update"] for line in made}) == len(made)
    return {line["update"]: (line["loss"], line["gradient_norm"]) for line in made}


def weights(folder: Path) -> dict[str, bytes]:
    names = ("*.safetensors", "memory.json", "evaluation.json", "begin.pt", "*.tar")
    return {str(path.relative_to(folder)): path.read_bytes() for name in names for path in folder.rglob(name)}


@pytest.mark.slow
def test_kill_9_twice_and_go_on(
    start: Start, wait_for: WaitFor, tiny: str, shaken: Path, finished: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    command = ("train", tiny, f"out={out}", f"train.start={shaken}")
    # The twin makes updates 1 to 6, the main model of stage 1 updates 7 to 20; a checkpoint every 4 of each.
    process = start(*command, "data.workers=1")
    wait_for(process, out, 5)
    with pytest.raises(InputError, match=r"is in use by process \d+"), RunFolder(out).claimed(load_run(tiny), ""):
        pass
    process.kill()
    process.communicate()
    assert not (out / "stages/0/twin.safetensors").exists() and any((out / "checkpoints").iterdir())
    process = start(*command, "data.workers=1")
    wait_for(process, out, 12)
    process.kill()
    process.communicate()
    assert not (out / "stages/1/main.safetensors").exists() and any((out / "checkpoints").iterdir())
    process = start(*command)
    _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, said
    assert "stage 1, main: 14/14" in said and "twin" not in said
    assert weights(out) == weights(finished)
    assert learned(out) == learned(finished)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("seed", [0, 1])
def test_killed_at_any_moment(start: Start, tiny: str, shaken: Path, finished: Path, tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    command = ("train", tiny, f"out={tmp_path}", f"train.start={shaken}", "train.checkpoint_every=1", "data.workers=1")
    lock = tmp_path / "lock"
    for _ in range(6):
        process = start(*command)
        while process.poll() is None and not (lock.exists() and f"process {process.pid} " in lock.read_text()):
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 1.5))
        process.kill()
        process.communicate()
    process = start(*command)
    _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, said
    assert weights(tmp_path) == weights(finished)
    assert learned(tmp_path) == learned(finished)
    events = [(line["event"], line["stage"]) for line in lines(tmp_path) if "event" in line]
    assert len(set(events)) == len(events)


@pytest.mark.slow
def test_collisions_counted_while_training_survive_a_crash(
    tiny: str, scenes: Path, shaken: Path, damage: Callable[[Path, str], None], tmp_path: Path
) -> None:
    online = ["rehearse.count=online", "rehearse.every=2", "rehearse.lag=3", "train.checkpoint_every=1"]
    # Nothing else reads the stage's clips, so that the damaged one is met while training.
    overrides = [*online, "method.name=replay", "memory.select=random", f"train.start={shaken}"]
    train(load_run(tiny, [*overrides, f"out={tmp_path / 'whole'}"]))
    # Stage 1 reads each of its 14 clips once an epoch of 7 updates: this one in update 5.
    [_, line] = order_of_config(tiny, overrides, stage=1, ranks=1, first=5, updates=1)
    harmed = shutil.copytree(scenes, tmp_path / "harmed")
    damage(harmed, line.split("\t")[2].split()[0])
    with pytest.raises(InputError, match="its checksum is wrong"):
        train(load_run(tiny, [*overrides, f"out={tmp_path / 'crashed'}", f"data.path={harmed}"]))
    saved = sorted((tmp_path / "crashed/checkpoints").glob("001-main-*"))[-1]
    assert saved.name == "001-main-00000005" and read_json(saved / "position.json")["position"]["rehearsal"]
    train(load_run(tiny, [*overrides, f"out={tmp_path / 'crashed'}"]))
    assert weights(tmp_path / "crashed") == weights(tmp_path / "whole")
    told = [
        [{key: line[key] for key in line if key.startswith(("rehearse/", "collisions/"))} for line in lines(folder)]
        for folder in (tmp_path / "crashed", tmp_path / "whole")
    ]
    assert told[0] == told[1] and any(sum(line.values()) > 9 for line in told[0])
