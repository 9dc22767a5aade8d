import io
import re
import sys

import pytest

from cavs_dist import progress as module
from cavs_dist.progress import progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_log_file_gets_a_line_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(progress(iter("abc"), "clips", 8, done=5)) == ["a", "b", "c"]
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("clips: 8/8, ") and line.endswith("ETA 0:00:00")


def test_and_lines_in_between(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SECONDS_BETWEEN_LINES", 0.0)
    list(progress(range(3), "updates", 400, done=2))
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(",")[0] for line in lines] == ["updates: 3/400", "updates: 4/400", "updates: 5/400"]
    assert all(re.fullmatch(r".*, [0-9.]+/s, ETA \d+:\d\d:\d\d", line) for line in lines)


def test_an_item_may_be_much(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(progress(["abc", "de"], "clips", 6, done=1, amount=len)) == ["abc", "de"]
    assert capsys.readouterr().err.startswith("clips: 6/6, ")


def test_other_ranks_say_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(progress(range(3), "clips", 3, quiet=True)) == [0, 1, 2]
    assert capsys.readouterr().err == ""


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert list(progress(range(3), "clips", 4, done=1)) == [0, 1, 2]
    shown = sys.stderr.getvalue()  # type: ignore[attr-defined]
    assert "clips" in shown and "4/4" in shown and "ETA" in shown


def test_work_is_done_one_by_one() -> None:
    taken: list[int] = []
    items = progress((taken.append(i) or i for i in range(3)), "clips", 3)  # type: ignore[func-returns-value]
    assert next(items) == 0 and taken == [0]
