"""Asked to stop, killed and frozen, two ranks end as they should, and the same command ends where nothing happened."""

import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.products import products

Start = Callable[..., "subprocess.Popen[str]"]
Two = Callable[..., "list[subprocess.Popen[str]]"]
WaitFor = Callable[["subprocess.Popen[str]", Path, int], None]
PATIENCE = 180


def lines(folder: Path) -> list[dict[str, Any]]:
    path = folder / "metrics.jsonl"
    whole = path.read_text().split("\n")[:-1] if path.exists() else []
    return [line for line in map(json.loads, whole) if "loss" in line]


def losses(folder: Path) -> list[tuple[int, float]]:
    return [(line["update"], line["loss"]) for line in lines(folder)]


@pytest.mark.world
@pytest.mark.slow
def test_two_ranks_stop_at_one_update_name_who_is_lost_and_go_on(
    start_two: Two,
    wait_for: WaitFor,
    started: "list[subprocess.Popen[str]]",
    tiny: str,
    shaken: Path,
    finished_by_two: Path,
    tmp_path: Path,
) -> None:
    out = tmp_path / "run"
    # The twin makes updates 1 to 6, the main model of stage 1 updates 7 to 20; no checkpoint but where one is stopped.
    command = ("train", tiny, f"out={out}", f"train.start={shaken}")

    first, second = start_two(*command, "engine.patience=600")
    started += first, second
    wait_for(second, out, 9)
    second.send_signal(signal.SIGUSR1)
    said = [process.communicate(timeout=PATIENCE)[1] for process in (first, second)]
    assert [first.returncode, second.returncode] == [75, 75], said
    sentence = (out / "stopped.txt").read_text()
    assert sentence in said[0] and sentence not in said[1]
    saved = max(path.name for path in (out / "checkpoints").iterdir())
    assert sentence.startswith(f"stopped by SIGUSR1 after update {int(saved[-8:])} of stage 1, main; run the same")

    first, second = start_two(*command, "engine.patience=600")
    started += first, second
    wait_for(second, out, 6 + int(saved[-8:]) + 1)
    assert not (out / "stopped.txt").exists()
    second.kill()
    _, told = first.communicate(timeout=PATIENCE)
    assert first.returncode == 1 and f"error: rank 1 (process {second.pid} on " in told

    first, second = start_two(*command)
    started += first, second
    for process in (first, second):
        _, told = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, told
    assert products(out) == products(finished_by_two)
    assert losses(out) == losses(finished_by_two)


@pytest.mark.slow
def test_a_signal_to_the_whole_process_group_leaves_its_readers_to_the_last_update(
    start: Start,
    wait_for: WaitFor,
    started: "list[subprocess.Popen[str]]",
    tiny: str,
    shaken: Path,
    finished: Path,
    tmp_path: Path,
) -> None:
    out = tmp_path / "run"
    command = ("train", tiny, f"out={out}", f"train.start={shaken}", "data.workers=1")
    process = start(*command)
    started.append(process)
    wait_for(process, out, 9)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert children
    for number in (process.pid, *map(int, children)):
        subprocess.run(["kill", "-TERM", str(number)], check=False)
    _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 75 and "stopped by SIGTERM after update " in said, said
    process = start(*command)
    started.append(process)
    _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, said
    assert products(out) == products(finished) and losses(out) == losses(finished)
