import time
from collections.abc import Callable

import pytest

from cavs_dist.doctor.program import Missing, Refused, Unanswered, ask

Install = Callable[[str, str], None]


def test_an_answer_is_what_was_printed(install: Install) -> None:
    install("tool", "echo $1")
    assert ask(("tool", "a b")) == "a b\n"


def test_bytes_that_are_no_text_do_not_stop_it(install: Install) -> None:
    install("tool", r"printf '\377\376ok'")
    assert ask(("tool",)).endswith("ok")


def test_each_failure_is_named(install: Install) -> None:
    with pytest.raises(Missing, match="tool is not on PATH"):
        ask(("tool",))
    install("tool", "echo first >&2; echo no driver >&2; exit 9")
    with pytest.raises(Refused, match="tool exited with 9: no driver"):
        ask(("tool",))
    install("tool", "exec /bin/sleep 60")
    start = time.monotonic()
    with pytest.raises(Unanswered, match=r"tool did not answer within 0\.3 s"):
        ask(("tool",), 0.3)
    assert time.monotonic() - start < 10
