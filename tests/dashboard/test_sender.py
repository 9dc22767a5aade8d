import os
import re
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from cavs_dist.dashboard import sender as module
from cavs_dist.dashboard.messages import End, Media, Row, Sound, Start
from cavs_dist.dashboard.sender import Sender
from tests.offline_run import read_offline

LOUD = Media(1, "sounds", [Sound("noise", np.zeros(1000, np.float32), 8000)])


def end(patience: float) -> End:
    return End(0, preempted=False, patience=patience)


def dashboards() -> list[int]:
    """The dashboard's processes that this process started."""
    children = " ".join(path.read_text() for path in Path("/proc/self/task").glob("*/children")).split()
    return [int(one) for one in children if b"cavs_dist.dashboard" in Path(f"/proc/{one}/cmdline").read_bytes()]


def wait_until(condition: Callable[[], object]) -> None:
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_a_frozen_dashboard_costs_nothing_but_what_it_does_not_get(
    begin: Callable[..., Start], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_LINES", 50)
    monkeypatch.setattr(module, "MOST_BYTES", 10 * LOUD.size)
    sender = Sender(begin())
    wait_until(lambda: list(tmp_path.glob("wandb/offline-run-*/*.wandb")))
    [process] = dashboards()
    os.kill(process, signal.SIGSTOP)
    start = time.monotonic()
    for update in range(1, 5001):
        sender.send(Row(update, {f"main/loss/{number}": 0.5 for number in range(20)}))
        sender.send(LOUD)
    assert time.monotonic() - start < 2.0
    start = time.monotonic()
    assert not sender.finish(end(1))
    assert time.monotonic() - start < 3.0
    late, said = capsys.readouterr().err.splitlines()
    assert late == "warning: W&B took longer than 1 s to end, and was ended"
    assert said.startswith("warning: W&B did not get ") and said.endswith("metrics.jsonl has every line")
    lines, media = (int(word) for word in said.split() if word.isdigit())
    assert 4000 < lines <= 5000 and 4000 < media <= 5000
    wait_until(lambda: not dashboards())


def test_media_are_dropped_before_rows(
    begin: Callable[..., Start], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", 10 * LOUD.size)
    sender = Sender(begin())
    for update in range(1, 101):  # long before W&B has begun
        sender.send(Row(update, {"main/loss": 1 / update}))
        sender.send(LOUD)
    assert sender.finish(end(60))
    assert re.fullmatch(r"warning: W&B did not get 0 lines and [1-9]\d media; .*\n", capsys.readouterr().err)
    [run] = read_offline(tmp_path)
    assert run.scalars("main/loss") == {update: 1 / update for update in range(1, 101)}


def test_a_killed_dashboard_is_said_once(
    begin: Callable[..., Start], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sender = Sender(begin())
    wait_until(lambda: list(tmp_path.glob("wandb/offline-run-*/*.wandb")))
    os.kill(dashboards()[0], signal.SIGKILL)
    wait_until(lambda: sender.send(LOUD) or "warning" in capsys.readouterr().err)
    for update in range(1, 10):
        sender.send(Row(update, {"main/loss": 0.5}))
    assert not sender.finish(end(5))
    [said] = capsys.readouterr().err.splitlines()
    assert said.startswith("warning: W&B did not get 9 lines and ")


def test_a_folder_that_cannot_be_written_is_said(
    begin: Callable[..., Start], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "wandb").write_text("in the way")
    sender = Sender(begin())
    sender.send(Row(1, {"main/loss": 0.5}))
    assert not sender.finish(end(30))
    [said] = capsys.readouterr().err.splitlines()
    assert said.startswith("warning: W&B failed ([Errno 20] Not a directory: ") and said.endswith("goes on")


@pytest.fixture
def stalling() -> Iterator[str]:
    """The address of a server that takes connections and answers none."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(64)
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.slow
def test_what_a_stalling_server_would_get_is_kept_offline(
    begin: Callable[..., Start],
    tmp_path: Path,
    stalling: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    key = "k" * 40
    monkeypatch.setenv("WANDB_BASE_URL", stalling)
    monkeypatch.setenv("WANDB_API_KEY", key)
    sender = Sender(begin("online", patience=24))
    sender.send(Row(1, {"main/loss": 0.5}))
    assert sender.finish(end(60)) and not sender.online
    [said] = capsys.readouterr().err.splitlines()
    assert said.startswith("warning: W&B does not begin (") and said.endswith("is kept offline")
    [run] = read_offline(tmp_path)
    assert run.scalars("main/loss") == {1: 0.5} and run.exit_code == 0
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and key.encode() in path.read_bytes()]


def test_without_an_account_a_run_is_kept_offline(
    begin: Callable[..., Start], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    sender = Sender(begin("online"))
    sender.send(Row(1, {"main/loss": 0.5}))
    assert sender.finish(end(60))
    assert "(No API key configured" in capsys.readouterr().err
    [run] = read_offline(tmp_path)
    assert run.scalars("main/loss") == {1: 0.5}
