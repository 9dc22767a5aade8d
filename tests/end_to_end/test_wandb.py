"""A run that W&B follows computes what it would without; W&B has one run of it, whatever happened on the way."""

import json
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from cavs_dist.config import load_run
from cavs_dist.trainer import train
from tests.offline_run import read_offline
from tests.products import products

Start = Callable[..., "subprocess.Popen[str]"]
Two = Callable[..., "list[subprocess.Popen[str]]"]
WaitFor = Callable[["subprocess.Popen[str]", Path, int], None]
PATIENCE = 400


@pytest.mark.slow
def test_stopped_killed_and_moved_to_two_ranks_it_is_one_run(
    start: Start,
    start_two: Two,
    wait_for: WaitFor,
    started: "list[subprocess.Popen[str]]",
    tiny: str,
    shaken: Path,
    finished: Path,
    tmp_path: Path,
) -> None:
    out = tmp_path / "it's $(a) run"
    command = ("train", tiny, f"out={out}", f"train.start={shaken}", "track.wandb=offline", "track.artifacts=all")
    # The twin makes updates 1 to 6, the main model of stage 1 updates 7 to 20; a checkpoint every 4 of each.
    process = start(*command)
    started.append(process)
    wait_for(process, out, 9)
    process.send_signal(signal.SIGTERM)
    told, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 75, said
    assert "W&B: send this run with: wandb sync '" in told
    process = start(*command)
    started.append(process)
    wait_for(process, out, 15)
    process.kill()
    process.communicate(timeout=PATIENCE)
    process = start(*command)
    started.append(process)
    _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, said
    assert products(out) == products(finished)

    stopped, killed, ended = read_offline(out)
    assert {run.run.run_id for run in (stopped, killed, ended)} == {json.loads((out / "wandb.json").read_text())["id"]}
    assert [(run.exit_code, run.preempting) for run in (stopped, killed, ended)] == [(75, True), (1, False), (0, False)]
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    losses = {line["update"]: line["loss"] for line in lines if "loss" in line}
    shown: dict[int, float] = {}
    for run in (stopped, killed, ended):
        shown |= run.scalars("main/loss") | run.scalars("twin/loss")
    assert shown == losses and set(losses) == set(range(1, 21))
    evaluated = [line for line in lines if line.get("event") == "evaluation"][-1]
    assert ended.scalars("test/all") == {20: evaluated["test/all"]} and ended.scalars("stage")[20] == 1
    assert ended.table("stages")["data"][-1][0] == 1
    assert all(ended.file(name).is_file() for name in ended.last("examples")["filenames"])
    assert {one.type for one in ended.artifacts} == {"run_table", "shards", "weights"}
    for secret in (str(tmp_path), str(tmp_path.name), "train.start="):
        assert secret.encode() not in b"".join(run.run.SerializeToString() for run in (stopped, killed, ended))

    shutil.rmtree(out / "stages/1")
    both = start_two(*command)
    started += both
    ends = [(process.communicate(timeout=PATIENCE), process.returncode) for process in both]
    assert [code for _, code in ends] == [0, 0], ends
    *_, by_two = read_offline(out)
    assert by_two.run.run_id == ended.run.run_id and by_two.config["environment"]["ranks"] == 2
    assert len(read_offline(out)) == 4


def test_collisions_and_mixtures_reach_w_and_b(
    tiny: str, shaken: Path, tiny_separation: str, separated: Path, tmp_path: Path
) -> None:
    counted, heard = tmp_path / "counted", tmp_path / "heard"
    online = ["rehearse.count=online", "rehearse.every=2", "rehearse.lag=2"]
    train(load_run(tiny, [f"out={counted}", f"train.start={shaken}", "track.wandb=offline", *online]))
    [run] = read_offline(counted)
    table = run.table("collisions/stage 1")
    assert table["columns"] == ["old class", "new class", "count", "ratio", "N_a"]
    assert table["data"] and sum(row[3] for row in table["data"]) == pytest.approx(1)

    shutil.copytree(separated, heard)
    (heard / "stages/1/evaluation.json").unlink()
    train(load_run(tiny_separation, [f"out={heard}", "track.wandb=offline"]))
    [run] = read_offline(heard)
    sounds, pictures = run.last("sounds"), run.last("spectrograms")
    assert len(sounds["audio"]) == len(pictures["captions"]) == 15
    assert sounds["captions"][0].startswith("mixture 0: ") and pictures["captions"][1].endswith(", mask")
    assert all(run.file(one["path"]).is_file() for one in sounds["audio"])
    assert all(run.file(name).is_file() for name in pictures["filenames"])
