"""One run on two ranks, then on one, then on four, by the same command: the same clips, updates and memory."""

import json
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cavs_dist.config import load_run
from cavs_dist.data.shard import read_split
from cavs_dist.order import order_of_config
from cavs_dist.run_folder import read_json
from cavs_dist.trainer import train

Start = Callable[..., "subprocess.Popen[str]"]
PATIENCE = 180
# 4 updates of each model at stage 0, 12 at stage 1, at a rate at which rounding stays small.
LONGER = ["optim.batch=8", "optim.lr=1e-4", "train.epochs=4", "train.checkpoint_every=1"]


def losses(folder: Path) -> dict[int, float]:
    path = folder / "metrics.jsonl"
    lines = [json.loads(line) for line in path.read_text().split("\n")[:-1]] if path.exists() else []
    made = [line for line in lines if "loss" in line]
    assert [line["update"] for line in made] == list(range(1, len(made) + 1))
    return {line["update"]: line["loss"] for line in made}


def spoil(folder: Path, key: str) -> None:
    """Damage a clip, so that a run ends at the update that reads it first."""
    clip = next(clip for index in read_split(folder, "train") for clip in index.clips if clip.key == key)
    content = bytearray(clip.shard.read_bytes())
    content[clip.members["audio.flac"].offset] ^= 1
    clip.shard.write_bytes(content)


@pytest.mark.world
@pytest.mark.slow
@pytest.mark.long
def test_two_ranks_one_and_four(start: Start, tiny: str, scenes: Path, tmp_path: Path) -> None:
    out, command = tmp_path / "run", ("train", tiny, f"out={tmp_path / 'run'}", *LONGER)
    drawn = [line.split("\t")[2].split() for line in list(order_of_config(tiny, LONGER, 0, 1, 0, 3))[1:]]
    late = next(key for key in drawn[2] if key not in {*drawn[0], *drawn[1]})
    spoil(shutil.copytree(scenes, tmp_path / "spoilt"), late)
    process = start(*command, f"data.path={tmp_path / 'spoilt'}", ranks=2)
    _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode and late in said, said
    assert len(losses(out)) == 2

    process = start(*command)
    end = time.monotonic() + PATIENCE
    while len(losses(out)) < 11:  # the third of stage 1
        assert process.poll() is None and time.monotonic() < end, process.communicate()
        time.sleep(0.01)
    process.kill()
    process.communicate()
    done, memory = len(losses(out)), read_json(out / "stages/0/memory.json")
    assert 11 <= done < 20

    process = start(*command, ranks=4)
    _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, said
    assert "stage 1, main: 12/12" in said
    assert read_json(out / "stages/0/memory.json") == memory

    train(load_run(tiny, [f"out={tmp_path / 'whole'}", *LONGER]))
    assert losses(out) == pytest.approx(losses(tmp_path / "whole"), rel=1e-4)
