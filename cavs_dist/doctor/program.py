"""Ask a program of the machine, such as nvidia-smi or sinfo, which may be missing, hang or talk nonsense."""

import subprocess
from collections.abc import Mapping, Sequence


class Unanswered(Exception):
    """A program did not answer; the message says which and how."""


class Missing(Unanswered):
    """There is no such program on PATH."""


class Refused(Unanswered):
    """A program ended by an error of its own."""


def ask(command: Sequence[str], limit: float = 10.0, environment: Mapping[str, str] | None = None) -> str:
    """Return what `command` prints. Raises Unanswered where it is missing, fails, or takes longer than `limit` s."""
    name = command[0].rpartition("/")[2]
    try:
        ended = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=limit,
            env=environment,
        )  # fmt: skip
    except FileNotFoundError:
        raise Missing(f"{name} is not on PATH") from None
    except subprocess.TimeoutExpired:
        raise Unanswered(f"{name} did not answer within {limit:g} s") from None
    except OSError as error:
        raise Unanswered(f"{name} cannot be run: {error.strerror}") from error
    if ended.returncode:
        said = (ended.stderr.strip() or ended.stdout.strip() or "nothing was said").splitlines()
        raise Refused(f"{name} exited with {ended.returncode}: {said[-1][:200]}")
    return ended.stdout
