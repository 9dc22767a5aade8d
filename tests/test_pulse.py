import time

import pytest

from cavs_dist import pulse, stop
from cavs_dist.errors import Interrupted
from cavs_dist.pulse import Pulse


def test_a_rank_is_still_unless_it_waits_for_others() -> None:
    pulse.mark("stage 1, main, update 17")
    entered = pulse.now.collectives
    time.sleep(0.05)
    assert pulse.now.still() >= 0.05 and str(pulse.now) == "stage 1, main, update 17"
    with pulse.waiting(), pulse.waiting():
        time.sleep(0.05)
        assert pulse.now.still() == 0
        assert str(pulse.now) == f"stage 1, main, update 17, collective {entered + 2}"
    assert pulse.now.still() < 0.05 and str(pulse.now) == "stage 1, main, update 17"


def test_the_time_in_collectives_is_counted_once() -> None:
    before = pulse.now.waited
    time.sleep(0.05)
    with pulse.waiting(), pulse.waiting():
        time.sleep(0.05)
    assert 0.05 <= pulse.now.waited - before < 0.1


def test_a_failed_collective_is_left_too() -> None:
    with pytest.raises(RuntimeError), pulse.waiting():
        raise RuntimeError("Connection closed by peer")
    assert pulse.now.inside == 0


def test_a_piece_of_work_does_not_begin_where_the_run_is_to_stop() -> None:
    with stop.listening():
        stop.ask("SIGTERM")
        with pytest.raises(Interrupted, match="stopped by SIGTERM in stage 0, scoring"):
            pulse.mark("stage 0, scoring")
    assert Pulse().doing == "the start"
