"""End all ranks when one of them dies or hangs, with one sentence that names it.

Every rank beats on the board and listens to the next one's beats: four or five operations of the store a rank and
period, whatever the number of ranks. The first that misses a beat for too long, or finds its own main thread stuck, or
leaves by an error, puts up a verdict; all look for it, say it and end.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from cavs_dist import distributed, pulse, stop
from cavs_dist.board import Board, Verdict, is_launchers, keeper, who
from cavs_dist.errors import Interrupted

PERIOD = 1.0  # seconds between two beats of a rank, on up to RANKS_A_SECOND ranks
# 5 operations each: a quarter of what one store answered one client on 2 cores of a Xeon (22,000 a second).
RANKS_A_SECOND = 1000
MISSED = 4  # periods of silence after which a rank counts as gone once a collective has failed
GRACE = 2.0  # seconds for a main thread that is on its way out to say why itself


@contextmanager
def watching(patience: float) -> Iterator[None]:
    """Watch over the ranks within the block, and end this one if another dies, leaves or hangs. Collective.

    patience: seconds after which a rank that shows no life counts as lost. A single process is not watched.
    """
    if distributed.world_size() == 1:
        yield
        return
    watchdog = Watchdog(distributed.rank(), distributed.world_size(), patience)
    try:
        distributed.barrier()  # every rank has left a beat
        watchdog.start()
        yield
        distributed.barrier()  # none goes while another may still need it
    except BaseException as error:
        watchdog.leave(error)
        raise
    finally:
        watchdog.close()


class Watchdog:
    """One rank's part. Two threads, since the store itself may hang: one talks with it, one looks at the clock."""

    def __init__(self, rank: int, world: int, patience: float) -> None:
        self.rank, self.next, self.patience = rank, (rank + 1) % world, patience
        self.period = min(max(PERIOD, world / RANKS_A_SECOND), patience / 4)
        self.proposal: Verdict | None = None  # this rank's, which the board may not have yet
        self.verdict: Verdict | None = None  # the board's
        self._closed, self._lost = threading.Event(), threading.Event()
        self._board = Board(rank, patience)

    def start(self) -> None:
        """Begin to watch; every rank has left a beat by now."""
        self._heard, self._heard_at = self._board.beat_of(self.next), time.monotonic()
        self._keeper = keeper() or f"rank 0 ({self._board.beat_of(0).who})"
        self._answered = time.monotonic()
        for loop in (self._talk, self._look):
            threading.Thread(target=loop, daemon=True).start()

    def close(self) -> None:
        """Let this rank go on unwatched."""
        self._closed.set()

    def leave(self, error: BaseException) -> None:
        """Tell the others that this rank leaves by `error`; where another's end is the reason, leave by that instead.

        Raises Interrupted where that other, or this one, was asked to stop.
        """
        if isinstance(error, RuntimeError):  # as of a collective whose other end is gone
            self._lost.set()
            found = self._verdict_within(3 * MISSED * self.period)
            if found is not None:
                self._follow(found, error)
        stops = isinstance(error, Interrupted) or (isinstance(error, RuntimeError) and bool(stop.asked()))
        self.proposal = self._stopped(error) if stops else self._failed(error)
        found = self._verdict_within(MISSED * self.period)
        if stops and found is not None and found.code != stop.EXIT_CODE:
            self._follow(found, error)
        self.close()
        if self.rank == 0 and not is_launchers():
            time.sleep(2 * self.period)  # until all have read it: the board ends with this process
        if stops and not isinstance(error, Interrupted):
            raise Interrupted(self.proposal.sentence) from error

    def _verdict_within(self, seconds: float) -> Verdict | None:
        end = time.monotonic() + seconds
        while self.verdict is None and time.monotonic() < end:
            time.sleep(self.period / 10)
        return self.verdict

    def _follow(self, verdict: Verdict, error: BaseException) -> None:
        """Leave as the verdict says."""
        if verdict.code == stop.EXIT_CODE:
            raise Interrupted(verdict.sentence) from error
        stop.exit_now(verdict.said, verdict.code)

    def _talk(self) -> None:
        """Talk with the board until it is gone; `_look` will miss its answers."""
        while not self._closed.wait(self.period):
            try:
                self._exchange()
            except RuntimeError:
                return
            self._answered = time.monotonic()

    def _exchange(self) -> None:
        """Beat; listen to the next rank, to bad news and to the verdict, or put one up."""
        self._board.beat()
        beat = self._board.beat_of(self.next)
        if beat != self._heard:
            self._heard, self._heard_at = beat, time.monotonic()
        if self._lost.is_set():
            self._board.tell_lost()
        elif self._board.is_lost():
            self._lost.set()
        silent = time.monotonic() - self._heard_at
        if silent > self._limit() and self.proposal is None:
            self.proposal = self._silent(silent)
        if self.proposal is not None:
            self._board.propose(self.proposal)
        self.verdict = self._board.verdict()

    def _look(self) -> None:
        """End this rank if there is a verdict or no answer from the board, and propose its own if it is stuck."""
        looked = time.monotonic()
        while not self._closed.wait(self.period):
            frozen, looked = time.monotonic() - looked, time.monotonic()
            silent, still = looked - self._answered, pulse.now.still()
            if self.verdict is not None:
                self._end(self.verdict)
            elif frozen > self.patience:  # by a SIGSTOP or a sleeping machine: the others have given it up by now
                self._end(Verdict(self.rank, _ending(f"rank {self.rank} ({who()}) was frozen for {frozen:.0f} s"), 1))
            elif silent > self._limit():
                sentence = f"{self._keeper}, where the ranks meet, has not answered for {silent:.0f} s"
                self._end(Verdict(0, _ending(sentence), 1))
            elif still > self.patience and self.proposal is None:
                sentence = f"rank {self.rank} ({who()}) has not moved for {still:.0f} s in {pulse.now}"
                self.proposal = Verdict(self.rank, _ending(sentence), 1)

    def _end(self, verdict: Verdict) -> None:
        """End this rank, unless it is on its way out."""
        if verdict.code == stop.EXIT_CODE:
            stop.ask(f"a signal to rank {verdict.rank}")
        if not self._closed.wait(GRACE):
            stop.exit_now(verdict.said, verdict.code)

    def _limit(self) -> float:
        """Return how long a rank, or the board, may be silent."""
        return MISSED * self.period if self._lost.is_set() else self.patience

    def _silent(self, seconds: float) -> Verdict:
        """Judge the next rank, of which nothing was heard for `seconds`."""
        beat, name = self._heard, f"rank {self.next} ({self._heard.who})"
        if beat.stopping:
            return Verdict(self.next, f"{name} was stopped by {beat.stopping}; {stop.AGAIN}", stop.EXIT_CODE)
        sentence = f"{name} has not been heard of for {seconds:.0f} s, last seen in {beat.doing}"
        return Verdict(self.next, _ending(sentence), 1)

    def _stopped(self, error: BaseException) -> Verdict:
        sentence = str(error) if isinstance(error, Interrupted) else f"stopped by {stop.asked()}; {stop.AGAIN}"
        return Verdict(self.rank, sentence, stop.EXIT_CODE)

    def _failed(self, error: BaseException) -> Verdict:
        why = str(error).partition("\n")[0] or type(error).__name__
        return Verdict(self.rank, f"rank {self.rank} ({who()}) ended with an error in {pulse.now} ({why})", 1)


def _ending(sentence: str) -> str:
    return f"{sentence}: ending; {stop.AGAIN} from the last checkpoint"
