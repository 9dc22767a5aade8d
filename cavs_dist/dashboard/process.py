"""The process that talks with W&B: it reads messages from its standard input until training ends or is gone.

It knows nothing of training, and imports no torch. Where W&B takes longer than it may, the alarm ends the process.
"""

import os
import pickle
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import BinaryIO

import wandb

from cavs_dist.dashboard.messages import BEGUN, End, Message, Start
from cavs_dist.dashboard.show import show

STOPS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT, signal.SIGHUP)
GONE = End(exit_code=1, preempted=False, patience=10)  # what a training that was killed would have said
SPARE = 2.0  # seconds before the alarm at which W&B gives up by itself


def main() -> None:
    """Begin a W&B run, and keep it until the end."""
    for number in STOPS:  # they are meant for training, which then says when to end
        signal.signal(number, signal.SIG_IGN)
    stream, answer = _take_pipes()
    start: Start = pickle.load(stream)
    signal.setitimer(signal.ITIMER_REAL, start.patience)
    try:
        run = begin(start)
    except Exception as error:
        _answer(answer, f"{_line(error)}\n".encode())
        os._exit(1)  # W&B's own way out may wait for its server
    signal.setitimer(signal.ITIMER_REAL, 0)
    _answer(answer, BEGUN)
    if start.mode == "online":
        _say(f"W&B: {run.url}")
    finish(run, follow(run, _read(stream)))


def follow(run: wandb.Run, messages: Iterator[Message]) -> End:
    """Show what comes, and return how training ended. What W&B cannot show is left out, and said once."""
    failed = False
    for message in messages:
        if isinstance(message, End):
            return message
        try:
            show(run, message)
        except Exception as error:
            if not failed:
                _say(f"warning: W&B failed ({_line(error)}); metrics.jsonl goes on")
            failed = True
    return GONE


def finish(run: wandb.Run, end: End) -> None:
    """Close the run and its file, in the time that there is."""
    signal.setitimer(signal.ITIMER_REAL, end.patience)
    if end.preempted:
        run.mark_preempting()
    run.finish(exit_code=end.exit_code)
    wandb.teardown()  # `finish` can return before the offline file is whole


def begin(start: Start) -> wandb.Run:
    """Begin the W&B run, or go on with it."""
    below = start.folder / "wandb"
    os.environ |= {
        "WANDB_DATA_DIR": str(below),  # nothing of a run lies in the home folder
        "WANDB_CACHE_DIR": str(below / "cache"),
        "WANDB_ERROR_REPORTING": "false",  # such reports go to a server even from an offline run
        "WANDB_SILENT": "true",
    }
    seconds = max(start.patience - SPARE, 1.0)
    # Statistics and metadata would send the command line, host and user names; the console holds them too.
    settings = wandb.Settings(
        mode=start.mode,
        host="",
        x_disable_stats=True,
        x_disable_meta=True,
        x_disable_machine_info=True,
        x_save_requirements=False,
        disable_git=True,
        disable_code=True,
        save_code=False,
        console="off",
        silent=True,
        init_timeout=seconds,
        login_timeout=seconds,
    )
    run = wandb.init(
        project=start.project,
        name=start.name,
        group=start.group or None,
        job_type=start.job_type,
        tags=start.tags,
        id=start.id,
        resume="allow",
        dir=start.folder,
        config=dict(start.config),
        allow_val_change=True,
        settings=settings,
    )
    run.define_metric("update", hidden=True)
    run.define_metric("*", step_metric="update")
    return run


def _read(stream: BinaryIO) -> Iterator[Message]:
    with suppress(EOFError, pickle.UnpicklingError):  # training is gone, in the middle of a message perhaps
        while True:
            yield pickle.load(stream)


def _take_pipes() -> tuple[BinaryIO, int]:
    """Return the standard input and output, and leave in their place what W&B may read from and print to."""
    stream, answer = os.fdopen(os.dup(0), "rb"), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    return stream, answer


def _answer(descriptor: int, line: bytes) -> None:
    with suppress(BrokenPipeError):  # training is gone, and has left what is still to be shown
        os.write(descriptor, line)


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
