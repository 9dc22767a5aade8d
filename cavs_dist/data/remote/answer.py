"""What a server may answer to a request for a range of bytes; all else is told apart by what can be done about it."""

import re
from collections.abc import Mapping

from cavs_dist.errors import InputError

BUSY = (408, 425, 429)
GONE = (404, 410)
LONGEST_WAIT = 60.0


class Transient(Exception):
    """An attempt failed in a way that may pass. wait: seconds that the server asks to be left alone."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.reason, self.wait = reason, wait


class Gone(Exception):
    """The file is not there, or is not of its size: asking again soon is of no use."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def whole_size(status: int, headers: Mapping[str, str], first: int, stop: int) -> int:
    """Return the size of the file of which bytes first..stop-1, or those of them that there are, will now be sent.

    Raises Transient, Gone, or InputError (a sentence without its subject, the address) for any other answer.
    """
    if status != 206:
        raise _refusal(status, headers)
    found = re.fullmatch(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})", headers.get("Content-Range", ""))
    sent, last, size = map(int, found.groups()) if found else (-1, -1, -1)
    if sent != first or last != min(stop, size) - 1:
        raise Transient(f"sends other bytes ({headers.get('Content-Range', 'of no range')[:60]!r}) than were asked for")
    if headers.get("Content-Length") != str(last - first + 1):
        raise Transient(f"announces {headers.get('Content-Length', 'no number of')[:20]} bytes, not {last - first + 1}")
    return size


def _refusal(status: int, headers: Mapping[str, str]) -> Exception:
    if status == 200:
        return InputError("is sent whole where a part was asked for: use a server that answers ranged requests")
    if status in GONE:
        return Gone(f"the server has no such file ({status})")
    if status == 416:
        return Gone("it ends before the bytes that were asked for (416)")
    if status in (401, 403):
        return InputError(f"may not be read ({status}): give this account, or these credentials, the right to")
    if status in BUSY or status >= 500:
        return Transient(f"the server answers {status}", _seconds(headers.get("Retry-After", "")))
    return InputError(f"cannot be read: the server answers {status}, where 206 was expected; mend the address")


def _seconds(text: str) -> float:
    """Read a Retry-After in seconds; a date, which servers of shards do not send, counts as none."""
    return min(float(text), LONGEST_WAIT) if re.fullmatch("[0-9]{1,6}", text) else 0.0
