"""Two ranks of a few lines under the watchdog, without DeepSpeed: how each may be lost, and who is named."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cavs_dist.watchdog import watching

Ranks = Callable[[str, float], "list[subprocess.Popen[str]]"]
pytestmark = [pytest.mark.world, pytest.mark.slow]

RANK = """
import sys, time
import torch, torch.distributed as dist
from cavs_dist import distributed, pulse
from cavs_dist.errors import InputError, Interrupted
from cavs_dist.stop import EXIT_CODE, exit_now, listening
from cavs_dist.watchdog import watching

dist.init_process_group("gloo")
try:
    with listening(), watching(float(sys.argv[2])):
        for update in range(100000):
            pulse.mark(f"update {update}")
            if update == 1 and distributed.rank() == 1:
                print("here", flush=True)
                exec(sys.argv[1])
            distributed.sum_over_ranks(torch.ones(3))
except (InputError, Interrupted) as error:
    exit_now(str(error), EXIT_CODE if isinstance(error, Interrupted) else 2)
"""


@pytest.fixture
def ranks(tmp_path: Path) -> Iterator[Ranks]:
    """Start ranks 0 and 1, of which rank 1 does something of its own in update 1; wait until it is there."""
    started: list[subprocess.Popen[str]] = []

    def ranks(what: str, patience: float) -> "list[subprocess.Popen[str]]":
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        world = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        for rank in range(2):
            command = [sys.executable, "-c", RANK, what, str(patience)]
            environment = os.environ | world | {"RANK": str(rank), "LOCAL_RANK": str(rank)}
            environment.pop("TORCHELASTIC_USE_AGENT_STORE", None)
            pipe = subprocess.PIPE
            started.append(subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True))
        assert started[1].stdout is not None and started[1].stdout.readline() == "here\n"
        return started

    yield ranks
    for process in started:
        process.kill()  # which also ends one that is stopped
        process.communicate()


def end(process: "subprocess.Popen[str]", seconds: float) -> tuple[int, str]:
    """Return the exit code and the last line of a process that ends within `seconds`."""
    _, said = process.communicate(timeout=seconds)
    return process.returncode, said.splitlines()[-1]


def test_a_killed_rank_is_named_within_seconds_whatever_the_patience(ranks: Ranks) -> None:
    first, second = ranks("time.sleep(600)", 600)
    second.kill()
    code, said = end(first, 30)
    assert code == 1
    assert said.startswith(f"error: rank 1 (process {second.pid} on ") and ", last seen in " in said
    assert said.endswith("run the same command again to go on from the last checkpoint")


@pytest.mark.parametrize("lost", [0, 1])
def test_a_frozen_rank_is_named_after_the_patience_even_if_the_store_is_its_own(ranks: Ranks, lost: int) -> None:
    both = ranks("", 3)
    both[lost].send_signal(signal.SIGSTOP)
    start = time.monotonic()
    code, said = end(both[1 - lost], 40)
    assert time.monotonic() - start > 2
    assert code == 1 and f"error: rank {lost} (process {both[lost].pid} on " in said


def test_a_rank_whose_work_is_stuck_is_named_by_itself_and_by_others(ranks: Ranks) -> None:
    for process in ranks("time.sleep(600)", 3):
        code, said = end(process, 40)
        assert code == 1 and "error: rank 1 (process " in said and "has not moved for" in said and "in update 1" in said


def test_an_error_of_one_rank_is_what_the_others_say(ranks: Ranks) -> None:
    first, second = ranks("raise InputError('clip train-3 is damaged')", 600)
    assert end(second, 30) == (2, "clip train-3 is damaged")
    code, said = end(first, 30)
    assert code == 1 and "error: rank 1 (process " in said and "(clip train-3 is damaged)" in said


def test_a_rank_that_was_asked_to_stop_takes_the_others_along(ranks: Ranks) -> None:
    first, second = ranks("", 600)
    second.send_signal(signal.SIGUSR1)
    for process in (second, first):
        code, said = end(process, 30)
        assert code == 75 and said.startswith("stopped by ") and "run the same command again" in said


def test_a_single_process_is_not_watched() -> None:
    with watching(patience=0.01):
        time.sleep(0.1)
