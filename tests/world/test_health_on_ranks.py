"""Two ranks, one of which reads slowly: the track names it, counts all clips, and traces the rank that is chosen."""

import json
import os
import socket
import time
from pathlib import Path
from typing import Any

import pytest
import torch

UPDATES, CLIPS = 6, 4
SLOWLY = 0.4  # seconds for a clip
SHORT = ["curriculum.order=[bell, cow]", "curriculum.split=2", "method.name=fine_tune", "memory.select=none"]
pytestmark = [pytest.mark.world, pytest.mark.slow]


def run(rank: int, port: int, config: str, overrides: list[str]) -> None:
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2")
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    from cavs_dist.config import load_run
    from cavs_dist.data.shard import ShardReader
    from cavs_dist.trainer import train

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


def test_a_rank_that_reads_slowly_is_named(tiny: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    overrides = [*SHORT, f"out={tmp_path}", "track.profile.updates=[2]", "track.profile.rank=1"]
    torch.multiprocessing.spawn(run, (port, tiny, overrides), nprocs=2)
    lines = training_lines(tmp_path)
    assert len(lines) == UPDATES
    name = f"rank 1 on {socket.gethostname()} takes "
    assert sum(line.get("health/stragglers", "").startswith(name) for line in lines) >= UPDATES - 1
    said = capfd.readouterr().err
    assert said.count(name) == 1 and "for 3 lines of the track in a row" in said
    for line in lines[1:]:
        assert line["health/spread"] > 0.5
        assert 2 * line["health/wait_share"] >= line["health/wait_share_max"] > line["health/wait_share"] > 0
    ends = [0.0, *(line["seconds"] for line in lines)]
    clips = [line["health/throughput"] * (end - start) for line, start, end in zip(lines, ends, ends[1:], strict=False)]
    assert sum(clips) == pytest.approx(UPDATES * CLIPS, rel=0.1)
    traces = sorted(path.name for path in (tmp_path / "profile").iterdir())
    assert traces == ["update-00000002-rank-1.json.gz", "update-00000002-rank-1.txt"]


def test_two_ranks_have_the_gradient_of_one(finished: Path, finished_by_two: Path) -> None:
    norms = [[line["gradient_norm"] for line in training_lines(folder)] for folder in (finished, finished_by_two)]
    assert norms[1][0] == pytest.approx(norms[0][0], rel=1e-5)  # from the same weights
    assert norms[1][:6] == pytest.approx(norms[0][:6], rel=1e-3)
    assert len(set(norms[0])) > 10
