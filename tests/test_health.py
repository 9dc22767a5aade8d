import json
import socket
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from cavs_dist import pulse
from cavs_dist.data.stream import Update
from cavs_dist.health import Health, slow_ranks
from cavs_dist.outputs.segmentation import Batch

UPDATES, CLIPS, PAUSE = 3, 4, 0.02


def make_update(clips: int) -> Update:
    nothing = torch.zeros(0)
    return Update(0, (Batch(("",) * clips, *[nothing] * 8),), ())


def learn(health: Health, updates: int, clips: int = CLIPS, pause: float = 0.0) -> None:
    for _ in range(updates):
        with health.reading():
            time.sleep(pause)
        with health.learning(make_update(clips), tells=True):
            with health.forward():
                time.sleep(pause)
            with pulse.waiting():
                time.sleep(2 * pause)


def rows(*own: float) -> Tensor:
    """Rows of ranks that made 10 updates of 4 clips in 10 seconds, waited a tenth, and took so long by themselves."""
    return torch.tensor([[40.0, 10.0, 10.0, 1.0, each, 2.0 + rank] for rank, each in enumerate(own)])


def test_a_line_tells_of_what_came_since_the_last() -> None:
    health = Health()
    learn(health, 1, clips=100, pause=0.1)
    health.row()
    start = time.monotonic()
    learn(health, UPDATES, pause=PAUSE)
    took = time.monotonic() - start
    row = health.row()
    told: dict[str, Any] = health.scalars(row[None])
    assert row[:2].tolist() == [UPDATES * CLIPS, UPDATES]
    assert told["health/throughput"] == pytest.approx(UPDATES * CLIPS / took, rel=0.05)
    assert told["health/wait_share"] == told["health/wait_share_max"] == pytest.approx(0.25, abs=0.1)
    # Half of an update is spent where it may wait for others.
    assert 2 * PAUSE <= told["health/own"] == pytest.approx(took / UPDATES / 2, rel=0.4)
    assert 0.01 < told["health/resident"] < 100
    assert told["health/spread"] == 0 and "health/stragglers" not in told
    assert health.waited == pytest.approx(0.1 + UPDATES * PAUSE, rel=0.5)


def test_ranks_are_taken_together() -> None:
    told = Health().scalars(rows(0.4, 0.2, 0.22, 0.2))
    assert told["health/throughput"] == 16 and told["health/resident"] == 5
    assert told["health/wait_share"] == told["health/wait_share_max"] == pytest.approx(0.1)
    assert told["health/own"] == pytest.approx(0.2) and told["health/spread"] == pytest.approx(1.0)


def test_who_is_slow_by_himself_and_costs_the_others_time_is_slow() -> None:
    assert slow_ranks([0.1, 0.1, 0.2, 0.1], update=0.5) == {2: pytest.approx(2)}
    assert slow_ranks([0.1, 0.1, 0.14, 0.1], update=0.2) == {}  # not by half
    assert slow_ranks([0.001, 0.001, 0.004, 0.001], update=0.5) == {}  # a hundredth of an update
    assert slow_ranks([0.3, 0.1], update=0.5) == {0: pytest.approx(3)}  # of two, the faster is what the other could be
    assert slow_ranks([0.1], update=0.1) == slow_ranks([0.0, 0.0], update=0.1) == {}


def test_a_rank_that_stays_slow_is_warned_of_once(capsys: pytest.CaptureFixture[str]) -> None:
    health = Health()
    health._hosts = [socket.gethostname(), "node7"]
    slow, even = rows(0.2, 0.5), rows(0.2, 0.2)
    told = [health.scalars(each).get("health/stragglers") for each in (slow, slow, even, slow, slow)]
    name = "rank 1 on node7 takes 2.5 times the median"
    assert told == [name, name, None, name, name]
    assert capsys.readouterr().err == ""
    for _ in range(3):
        health.scalars(slow)
    said = capsys.readouterr().err
    assert said.count("warning") == 1 and f"{name} for 3 lines of the track in a row" in said


def test_of_many_slow_ranks_the_slowest_are_named() -> None:
    health = Health()
    health._hosts = ["node"] * 20
    told = str(health.scalars(rows(*[0.1] * 11, *[0.5 + rank / 100 for rank in range(9)]))["health/stragglers"])
    assert told.startswith("rank 19 on node takes 5.8 times the median; rank 18 ") and told.endswith("; and 5 more")


def test_a_run_tells_of_its_health_in_every_training_line(finished: Path) -> None:
    lines = [json.loads(line) for line in (finished / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        keys = {key for key in line if key.startswith("health/")}
        if "loss" not in line:
            assert not keys
            continue
        assert keys == {
            *("health/throughput", "health/wait_share", "health/wait_share_max"),
            *("health/resident", "health/own", "health/spread"),
        }  # fmt: skip
        assert line["gradient_norm"] > 0 and line["health/throughput"] > 0 and line["health/spread"] == 0
