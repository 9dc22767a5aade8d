import os
import signal
import subprocess
import sys
import time

import pytest

from cavs_dist import stop
from cavs_dist.errors import Interrupted

# A process whose main thread never comes back to Python, as in a collective that another rank does not enter.
STUCK = """
import ctypes, os
from cavs_dist.stop import listening
with listening():
    print("listening", flush=True)
    ctypes.CDLL(None).read(os.pipe()[0], ctypes.create_string_buffer(1), 1)
"""


def signal_self(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)
    end = time.monotonic() + 10
    while not stop.asked() and time.monotonic() < end:
        time.sleep(0.01)


@pytest.mark.parametrize("number", stop.SIGNALS)
def test_a_signal_is_heeded_once_nothing_is_to_be_kept_first(number: signal.Signals) -> None:
    before = [signal.getsignal(other) for other in stop.SIGNALS]
    with stop.listening():
        stop.heed("an update")
        with stop.deferring():
            signal_self(number)
            stop.heed("an update")
        assert stop.asked() == number.name
        with pytest.raises(Interrupted, match=f"^stopped by {number.name} in scoring; run the same command again"):
            stop.heed("scoring")
    assert [signal.getsignal(other) for other in stop.SIGNALS] == before
    stop.heed("after the run")


def test_what_ranks_tell_each_other_of_signals_is_a_sum() -> None:
    assert stop.counts() == [0, 0] and stop.told([0.0, 0.0]) == ""
    with stop.listening():
        signal_self(signal.SIGUSR1)
        assert stop.told([float(2 * count) for count in stop.counts()]) == "SIGUSR1"


def test_signals_of_one_request_count_once_and_a_second_request_ends_a_stuck_process() -> None:
    process = subprocess.Popen([sys.executable, "-c", STUCK], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None and process.stdout.readline() == "listening\n"
        process.send_signal(signal.SIGUSR1)
        process.send_signal(signal.SIGTERM)
        time.sleep(stop.ONE_REQUEST + 0.5)
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == stop.EXIT_CODE == 75
    assert said == "stopped at once by a second SIGTERM; run the same command again to go on\n"


def test_a_forked_process_neither_listens_nor_tells() -> None:
    with stop.listening():
        child = os.fork()
        if child == 0:
            kept = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGUSR1), signal.set_wakeup_fd(-1)
            os._exit(0 if kept == (signal.SIG_DFL, signal.SIG_IGN, -1) else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert stop.asked() == ""


def test_a_reader_of_clips_outlives_a_stop_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stop, "READER_STAYS", 1)
    child = os.fork()
    if child == 0:
        stop.outlive_a_stop(0)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.2)  # still here: or else SIGTERM, not SIGALRM, would be what ended it
        time.sleep(30)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGALRM


def test_a_signal_that_a_launcher_ignores_ends_a_rank_that_does_not_listen_yet() -> None:
    code = "import os; from cavs_dist import stop; stop.unignore(); os.kill(os.getpid(), 10); print('ignored')"
    done = subprocess.run(["bash", "-c", 'trap "" USR1; exec "$0" -c "$1"', sys.executable, code], capture_output=True)
    assert (done.returncode, done.stdout) == (-signal.SIGUSR1, b"")
