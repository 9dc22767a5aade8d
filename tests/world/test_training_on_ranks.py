"""Ranks under torchrun: what is equal to one process, and how nearly."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from cavs_dist.config import load_run
from cavs_dist.run_folder import read_json, read_state
from cavs_dist.trainer import train

Start = Callable[..., "subprocess.Popen[str]"]
Two = Callable[..., "list[subprocess.Popen[str]]"]
PATIENCE = 180
pytestmark = [pytest.mark.world, pytest.mark.slow]


def finish(process: "subprocess.Popen[str]") -> tuple[int, str]:
    out, err = process.communicate(timeout=PATIENCE)
    return process.returncode, out + err


def losses(folder: Path) -> list[float]:
    read = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [line["loss"] for line in read if "loss" in line]


def slots(folder: Path, ranks: int) -> list[list[str]]:
    """The clips of every update in the order of their slots, as the ranks say that they were."""
    files = [(folder / f"clips/rank-{rank}.jsonl").read_text().splitlines() for rank in range(ranks)]
    updates = zip(*(map(json.loads, lines) for lines in files), strict=True)
    return [
        [
            key
            for kind in ("keys", "exemplars")
            for turn in zip(*(part[kind] for part in parts), strict=True)
            for key in turn
        ]
        for parts in updates
    ]


# At the paper's rate: the first slopes of POD, between two almost equal models, make large steps of rounding.
WORLD = ["optim.lr=1e-4", "optim.batch=8", "track.clips=true", "train.epochs=5"]
WORLD += ["rehearse.count=online", "rehearse.every=2", "rehearse.lag=2", "memory.payload=exchange"]


@pytest.fixture(scope="module")
def alone(tiny: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("alone")
    train(load_run(tiny, [f"out={folder}", *WORLD]))
    return folder


@pytest.mark.parametrize("ranks", [2, 4])
def test_ranks_learn_what_one_does(start: Start, tiny: str, alone: Path, tmp_path: Path, ranks: int) -> None:
    code, said = finish(start("train", tiny, f"out={tmp_path}", *WORLD, ranks=ranks))
    assert code == 0, said
    assert json.loads((tmp_path / "environment.json").read_text())["ranks"] == ranks
    assert len(losses(tmp_path)) == len(losses(alone)) > 20
    assert losses(tmp_path)[:20] == pytest.approx(losses(alone)[:20], rel=1e-4)
    known = slots(alone, 1)
    assert slots(tmp_path, ranks)[:20] == known[:20]
    assert all(len(update) == 8 for update in known)


def test_two_ranks_count_collisions_and_choose_exemplars_as_one_does(finished: Path, finished_by_two: Path) -> None:
    memories = [read_json(run / "stages/0/memory.json")["classes"] for run in (finished, finished_by_two)]
    keys = [{name: [key for key, _, _ in kept] for name, kept in memory.items()} for memory in memories]
    assert keys[0] == keys[1]
    begun = [read_state(run / "stages/1/begin.pt") for run in (finished, finished_by_two)]
    assert begun[0]["pairs"] == begun[1]["pairs"] != {}
    assert begun[0]["method"]["thresholds"].equal(begun[1]["method"]["thresholds"])
    assert losses(finished_by_two)[:8] == pytest.approx(losses(finished)[:8], rel=1e-4)


def test_one_checkpoint_has_the_same_metrics_on_two_ranks(start: Start, finished: Path, tmp_path: Path) -> None:
    code, said = finish(start("evaluate", finished, "--batch", "3", "--out", tmp_path / "records.json", ranks=2))
    assert code == 0, said
    for stage, record in enumerate(json.loads((tmp_path / "records.json").read_text())):
        known = read_json(finished / f"stages/{stage}/evaluation.json")
        assert record["confusion"] == known["confusion"] and record["clips"] == known["clips"]
        for name, value in known["metrics"].items():
            assert record["metrics"][name] == (None if value is None else pytest.approx(value, abs=1e-6)), name


def test_slots_that_ranks_do_not_divide_are_refused_before_any_work(start_two: Two, tiny: str, tmp_path: Path) -> None:
    for process in start_two("train", tiny, f"out={tmp_path / 'run'}", "optim.batch=6"):
        code, said = finish(process)
        assert code == 2
        assert "error: 2 ranks do not divide the 3 memory slots of an update" in said
    assert not (tmp_path / "run").exists()
