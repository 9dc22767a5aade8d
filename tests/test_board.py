import os

import pytest
from torch._C._distributed_c10d import TCPStore

from cavs_dist import pulse, stop
from cavs_dist.board import Board, Verdict, keeper, who


@pytest.fixture
def boards(monkeypatch: pytest.MonkeyPatch) -> tuple[Board, Board]:
    """Two ranks' access to one store."""
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", str(store.port))
    monkeypatch.setattr(Board, "store", store, raising=False)  # it ends with its last name
    return Board(0, 20.0), Board(1, 20.0)


def test_a_beat_tells_who_lives_and_what_it_does(boards: tuple[Board, Board]) -> None:
    first, second = boards
    one = second.beat_of(0)
    pulse.mark("stage 0, scoring")
    first.beat()
    other = second.beat_of(0)
    assert (one.number, other.number) == (1, 2) and one != other
    assert other.who == who() and str(os.getpid()) in who()
    assert (other.doing, other.stopping) == ("stage 0, scoring", "")


def test_the_first_verdict_holds(boards: tuple[Board, Board]) -> None:
    first, second = boards
    assert first.verdict() is None and not first.is_lost()
    second.tell_lost()
    verdict = Verdict(1, "rank 1 is gone", 1)
    second.propose(verdict)
    first.propose(Verdict(0, "rank 0 is gone", 1))
    assert first.is_lost() and first.verdict() == second.verdict() == verdict
    assert verdict.said == "error: rank 1 is gone"
    assert Verdict(1, "stopped by SIGTERM", stop.EXIT_CODE).said == "stopped by SIGTERM"


def test_a_launcher_that_starts_its_ranks_again_starts_a_new_board(
    boards: tuple[Board, Board], monkeypatch: pytest.MonkeyPatch
) -> None:
    boards[0].propose(Verdict(1, "rank 1 is gone", 1))
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert Board(0, 20.0).verdict() is None


def test_the_launchers_store_is_told_from_a_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASTER_ADDR", "node7")
    monkeypatch.delenv("TORCHELASTIC_USE_AGENT_STORE", raising=False)
    assert keeper() == ""
    monkeypatch.setenv("TORCHELASTIC_USE_AGENT_STORE", "True")
    assert keeper() == "the launcher on node7"
