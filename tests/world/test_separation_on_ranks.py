"""Separation on two ranks: the same memory by every rule, and the same losses, to rounding, from the same clips."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist

from cavs_dist.config import load_run
from cavs_dist.remember import remember
from cavs_dist.run_folder import read_json
from cavs_dist.setting import open_setting
from cavs_dist.trainer import train

Start = Callable[..., "subprocess.Popen[str]"]
PATIENCE = 180
RULES = {
    "consistency": ["memory.select=consistency"],
    "largest": ["memory.select=largest", "memory.unimodal=silence"],
    "random": ["memory.select=random"],
    "reservoir": ["memory.select=reservoir"],
    "herding": ["memory.select=herding"],
}
pytestmark = [pytest.mark.world, pytest.mark.slow]


def select(rank: int, world: int, folder: str) -> None:
    """Remember stage 0 by each rule, from the weights of one file; the twin is one that nobody trained."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store{world}", rank=rank, world_size=world)
    for rule, overrides in RULES.items():
        out = f"{folder}/{world}-{rule}"
        setting = open_setting(load_run(f"{out}/config.yaml", [f"out={out}", *overrides]))
        stage = setting.stages[0]
        twin = setting.fresh_model("twin", stage) if rule == "consistency" else None
        remember(setting, stage, setting.kept_model("main", stage), twin)
    dist.destroy_process_group()


def test_every_rule_keeps_the_same_clips_with_the_same_scores(separated: Path, tmp_path: Path) -> None:
    for world in (1, 2):
        for rule in RULES:
            copy = tmp_path / f"{world}-{rule}"
            shutil.copytree(separated, copy, ignore=shutil.ignore_patterns("memory*", "lock"))
        torch.multiprocessing.spawn(select, (world, str(tmp_path)), nprocs=world)
    chosen = {}
    for rule in RULES:
        alone, both = (read_json(tmp_path / f"{world}-{rule}/stages/0/memory.json")["classes"] for world in (1, 2))
        assert alone == both
        assert {name: len(kept) for name, kept in alone.items()} == {"bell": 2, "cow": 2}
        chosen[rule] = alone
    known = read_json(separated / "stages/0/memory.json")["classes"]
    assert chosen["random"] == known
    assert len({json.dumps(kept) for kept in chosen.values()}) == len(RULES)


def losses(folder: Path) -> list[float]:
    read = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [line["loss"] for line in read if "loss" in line]


def clips(folder: Path, ranks: int) -> list[list[str]]:
    """The clips of every update over all ranks, in alphabetical order, partners among them."""
    files = [(folder / f"clips/rank-{rank}.jsonl").read_text().splitlines() for rank in range(ranks)]
    updates: list[tuple[dict[str, Any], ...]] = list(zip(*(map(json.loads, lines) for lines in files), strict=True))
    return [sorted(key for part in parts for kind in ("keys", "exemplars") for key in part[kind]) for parts in updates]


@pytest.mark.parametrize("norm", ["sync", pytest.param("group", marks=pytest.mark.long)])
def test_two_ranks_learn_what_one_does(
    start: Start, tiny_separation: str, separated: Path, tmp_path: Path, norm: str
) -> None:
    overrides = ["optim.lr=1e-4", "optim.batch=8", "track.clips=true", "method.gather=true", "train.epochs=2"]
    overrides.append(f"model.iquery.unet.norm={norm}")
    train(load_run(tiny_separation, [f"out={tmp_path / 'alone'}", *overrides]))
    process = start("train", tiny_separation, f"out={tmp_path / 'both'}", *overrides, ranks=2)
    said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, said
    alone, both = losses(tmp_path / "alone"), losses(tmp_path / "both")
    assert len(alone) == len(both) >= 6
    assert both[:6] == pytest.approx(alone[:6], rel=1e-4)
    assert clips(tmp_path / "both", 2) == clips(tmp_path / "alone", 1)
    assert {len(update) for update in clips(tmp_path / "alone", 1)} == {16}
    memories = [read_json(tmp_path / run / "stages/0/memory.json")["classes"] for run in ("alone", "both")]
    assert memories[0] == memories[1]
