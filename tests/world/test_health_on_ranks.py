"""Two ranks, one of which reads slowly: the track names it, counts all clips, and traces the rank that is chosen."""

import json
import os
import socket
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from cavs_dist.config import load_run
from cavs_dist.data.shard import ShardReader
from cavs_dist.trainer import train

UPDATES, CLIPS = 6, 4
SLOWLY = 0.4  # seconds for a clip
SHORT = ["curriculum.order=[bell, cow]", "curriculum.split=2", "method.name=fine_tune", "memory.select=none"]
pytestmark = [pytest.mark.world, pytest.mark.slow]


def run(rank: int, port: int, config: str, overrides: list[str], said: Path) -> None:
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2")
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    if rank == 0:
        sys.stderr = said.open("w", buffering=1)
    if rank == 1:
        read = ShardReader.read

        def read_slowly(*arguments: Any) -> Any:
            time.sleep(SLOWLY)
            return read(*arguments)

        ShardReader.read = read_slowly  # type: ignore[method-assign]
    train(load_run(config, overrides))
    torch.distributed.destroy_process_group()


def training_lines(folder: Path) -> list[dict[str, Any]]:
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [line for line in lines if "loss" in line]


@pytest.fixture(scope="module")
def by_two(tiny: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run folder, and what the ranks said."""
    folder = tmp_path_factory.mktemp("by_two")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    overrides = [*SHORT, f"out={folder / 'run'}", "track.profile.updates=[2]", "track.profile.rank=1"]
    torch.multiprocessing.spawn(run, (port, tiny, overrides, folder / "said"), nprocs=2)
    return folder / "run", (folder / "said").read_text()


def test_the_rank_that_reads_slowly_is_named(by_two: tuple[Path, str]) -> None:
    folder, said = by_two
    lines, name = training_lines(folder), f"rank 1 on {socket.gethostname()} takes "
    assert len(lines) == UPDATES
    assert sum(line.get("health/stragglers", "").startswith(name) for line in lines) >= UPDATES - 1
    assert said.count(name) == 1 and "for 3 lines of the track in a row" in said
    for line in lines[1:]:
        assert line["health/spread"] > 0.5
        assert 2 * line["health/wait_share"] >= line["health/wait_share_max"] > line["health/wait_share"] > 0


def test_all_clips_count(by_two: tuple[Path, str]) -> None:
    lines = training_lines(by_two[0])
    ends = [0.0, *(line["seconds"] for line in lines)]
    seconds = [end - start for start, end in pairwise(ends)]
    clips = sum(line["health/throughput"] * each for line, each in zip(lines, seconds, strict=True))
    assert clips == pytest.approx(UPDATES * CLIPS, rel=0.1)


def test_the_chosen_rank_is_traced(by_two: tuple[Path, str]) -> None:
    traces = sorted(path.name for path in (by_two[0] / "profile").iterdir())
    assert traces == ["update-00000002-rank-1.json.gz", "update-00000002-rank-1.txt"]


def test_the_gradient_is_that_of_one_rank(by_two: tuple[Path, str], tiny: str, tmp_path: Path) -> None:
    train(load_run(tiny, [*SHORT, f"out={tmp_path}"]))
    norms = [[line["gradient_norm"] for line in training_lines(folder)] for folder in (tmp_path, by_two[0])]
    assert norms[1][0] == pytest.approx(norms[0][0], rel=1e-5)  # from the same weights
    assert norms[1] == pytest.approx(norms[0], rel=1e-3)
    assert len(set(norms[0])) == UPDATES
