"""The side of training: messages wait in a bounded queue, from which a thread hands them to the dashboard's process."""

import os
import pickle
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import cavs_dist
from cavs_dist.dashboard.messages import BEGUN, Artifact, End, Media, Message, Row, Start, Table

MOST_LINES = 10_000  # that wait: rows, tables and artifacts
MOST_BYTES = 64 << 20  # of media that wait
PIPE_BYTES = 1 << 20  # what the process still gets where training is killed
COMMAND = (sys.executable, "-m", "cavs_dist.dashboard.process")
HERE = str(Path(cavs_dist.__file__).parents[1])


class Sender:
    """Hands messages over, and never waits for it. What does not fit is dropped and counted: media long before rows.

    The process is in a session of its own: signals to the process group of training do not reach it. It ends by itself
    where training is gone. One that cannot begin online is followed by one that begins offline.
    """

    def __init__(self, start: Start) -> None:
        self.online = False  # whether the W&B run has begun online
        self._waiting: deque[Message] = deque()
        self._bytes = 0
        self._changed = threading.Condition()
        self._process: subprocess.Popen[bytes] | None = None
        self._lost = False  # nothing more is taken
        self._dropped = {"lines": 0, "media": 0}
        self._thread = threading.Thread(target=self._feed, args=(start,), name="dashboard", daemon=True)
        self._thread.start()

    def send(self, message: Row | Table | Media | Artifact) -> None:
        """Queue a message, or drop it where too many wait. At once."""
        size = message.size if isinstance(message, Media) else 0
        with self._changed:
            full = self._bytes + size > MOST_BYTES if size else len(self._waiting) >= MOST_LINES
            if full or self._lost:
                self._dropped["media" if size else "lines"] += 1
                return
            self._put(message)

    def finish(self, end: End) -> bool:
        """End the W&B run within `end.patience` seconds, and say what it did not take; tell whether it took the rest.

        Nothing can be sent after it.
        """
        with self._changed:
            self._put(end)
        self._thread.join(end.patience)
        if self._thread.is_alive():
            with self._changed:
                self._lost = True
            _say(f"warning: W&B took longer than {end.patience:g} s to end, and was ended")
            self._kill()
        self._tell_what_was_dropped()
        return not self._lost

    def _put(self, message: Message) -> None:
        self._bytes += message.size if isinstance(message, Media) else 0
        self._waiting.append(message)
        self._changed.notify()

    def _feed(self, start: Start) -> None:
        """What the thread does: begin, hand over, and wait for the end."""
        try:
            self._begin(start)
            for message in self._taken():
                self._write(message)
            if self._process is not None and self._process.wait():
                raise BrokenPipeError("it has ended")
        except OSError as error:
            refused = self._refusal()
            with self._changed:
                if not self._lost:
                    _say(f"warning: W&B failed ({refused or error}); metrics.jsonl goes on")
                self._lost = True

    def _begin(self, start: Start) -> None:
        """Start the process: online, once W&B has answered, or offline, at once, so that no kill takes what is told."""
        start = replace(start, patience=start.patience / 2)  # for each of two beginnings
        if start.mode == "online":
            self._open(start)
            refused = self._refusal()
            if not refused:
                self.online = True
                return
            with self._changed:
                if self._lost:
                    raise BrokenPipeError(refused)
            _say(f"warning: W&B does not begin ({refused}); what it would get is kept offline")
        self._open(replace(start, mode="offline"))

    def _open(self, start: Start) -> None:
        path = os.pathsep.join(filter(None, (HERE, os.environ.get("PYTHONPATH"))))
        self._process = subprocess.Popen(
            COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, pipesize=PIPE_BYTES, start_new_session=True,
            env=os.environ | {"PYTHONPATH": path},
        )  # fmt: skip
        self._write(start)

    def _refusal(self) -> str:
        """Wait for what the process answers, and return why its W&B run did not begin, empty if it did."""
        if self._process is None or self._process.stdout is None or self._process.stdout.closed:
            return ""
        with self._process.stdout as said:
            answer = said.readline()
        if answer == BEGUN:
            return ""
        self._process.wait()
        return answer.decode().strip() or "it took too long"

    def _kill(self) -> None:
        """End the process, and whatever it waits for."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def _write(self, message: Start | Message) -> None:
        assert self._process is not None and self._process.stdin is not None
        pickle.dump(message, self._process.stdin)
        self._process.stdin.flush()

    def _taken(self) -> Iterator[Message]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting)
                message = self._waiting.popleft()
                self._bytes -= message.size if isinstance(message, Media) else 0
            yield message
            if isinstance(message, End):
                return

    def _tell_what_was_dropped(self) -> None:
        left = [isinstance(message, Media) for message in self._waiting if not isinstance(message, End)]
        media, lines = self._dropped["media"] + sum(left), self._dropped["lines"] + left.count(False)
        if media + lines:
            _say(f"warning: W&B did not get {lines} lines and {media} media; metrics.jsonl has every line")


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)
