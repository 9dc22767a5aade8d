import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cavs_dist.dashboard.messages import BEGUN, End, Media, Picture, Row, Start, Table
from cavs_dist.dashboard.process import STOPS
from tests.offline_run import read_offline


def start_process() -> "subprocess.Popen[bytes]":
    command, pipe = [sys.executable, "-m", "cavs_dist.dashboard.process"], subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, cwd=Path(__file__).parents[2])


def test_signals_are_for_training_and_the_run_is_told_that_it_goes_on(
    begin: Callable[..., Start], tmp_path: Path
) -> None:
    process = start_process()
    assert process.stdin and process.stdout
    pickle.dump(begin(), process.stdin)
    process.stdin.flush()
    assert process.stdout.readline() == BEGUN
    for number in STOPS:
        process.send_signal(number)
    last = b"".join(map(pickle.dumps, (Row(1, {"main/loss": 0.5}), End(75, preempted=True, patience=30))))
    _, said = process.communicate(last, timeout=60)
    assert (process.returncode, said) == (0, b"")
    [run] = read_offline(tmp_path)
    assert run.scalars("main/loss") == {1: 0.5} and (run.exit_code, run.preempting) == (75, True)


def test_training_that_is_gone_leaves_a_failed_run_with_all_that_was_told(
    begin: Callable[..., Start], tmp_path: Path
) -> None:
    process = start_process()
    assert process.stdin and process.stdout and process.stderr
    process.stdout.close()
    torn = pickle.dumps(Row(2, {"main/loss": 0.25}))[:-5]
    with process.stdin as pipe:
        pipe.write(pickle.dumps(begin()) + pickle.dumps(Row(1, {"main/loss": 0.5})) + torn)
    assert process.wait(60) == 0 and not process.stderr.read()
    [run] = read_offline(tmp_path)
    assert run.scalars("main/loss") == {1: 0.5} and run.exit_code == 1


def test_what_cannot_be_shown_is_left_out_and_said_once(begin: Callable[..., Start], tmp_path: Path) -> None:
    process = start_process()
    told = (
        begin(),
        Table(1, "uneven", ("one", "two"), [(1,)]),
        Media(1, "flat", [Picture("no picture", None)]),  # type: ignore[arg-type]
        Row(2, {"main/loss": 0.5}),
        End(0, preempted=False, patience=30),
    )
    _, said = process.communicate(b"".join(map(pickle.dumps, told)), timeout=60)
    assert said.count(b"warning: W&B failed (") == 1 and said.count(b"\n") == 1
    [run] = read_offline(tmp_path)
    assert run.scalars("main/loss") == {2: 0.5} and run.exit_code == 0


@pytest.mark.slow
def test_w_and_b_that_does_not_begin_in_time_is_ended(begin: Callable[..., Start]) -> None:
    process = start_process()
    answer, _ = process.communicate(pickle.dumps(begin(patience=0.001)), timeout=60)
    assert (process.returncode, answer) == (-signal.SIGALRM, b"")
