import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

from cavs_dist.report.names import named_runs
from cavs_dist.report.read import read_run
from cavs_dist.report.segmentation.evaluation import judged
from cavs_dist.report.segmentation.page import render
from cavs_dist.report.segmentation.summary import make_summary

MakeRun = Callable[..., Path]
VOID = {"meta", "img", "br", "link", "input"}


class Balance(HTMLParser):
    """Collects what is open, and what is closed without being open."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.wrong: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)


def page(*folders: Path) -> str:
    runs = named_runs([judged(read_run(folder)) for folder in folders])
    return render(runs, make_summary(runs, 75.0), folders[0].parent)


def test_the_page_is_whole_and_needs_nothing_from_outside(make_run: MakeRun) -> None:
    html = page(make_run("a"), make_run("b", method="mib"))
    balance = Balance()
    balance.feed(html)
    assert (balance.open, balance.wrong) == ([], [])
    assert "<script" not in html
    assert not re.search(r"(src|href|url\()\s*=?[\"'(]?(https?:)?//", html)
    for word in ("cmr", "mib", "overlapped", "made/up", "1 min 15 s", "dog", "bird", "AVSBench", "0.361", "test-1"):
        assert word in html, word
    assert html.count("data:image/png;base64") == 2 * 2 * 3


def test_names_from_outside_stay_text(make_run: MakeRun) -> None:
    html = page(make_run("a", classes=("<script>", "x' onload='y", "z")))
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert "onload='" not in html


def test_what_an_unfinished_run_lacks_is_said_in_words(make_run: MakeRun) -> None:
    folder = make_run("a", stages=0)
    (folder / "metrics.jsonl").unlink()
    html = page(folder)
    assert "has no evaluated stage yet" in html
    assert "No training line has been written yet" in html
    other = make_run("b", method="mib")
    for path in other.glob("stages/*/examples.npz"):
        path.unlink()
    assert "No examples were kept after this stage" in page(folder, other)


def test_runs_of_different_classes_are_not_to_be_compared(make_run: MakeRun) -> None:
    first, second = make_run("a"), make_run("b", classes=("cat", "cow", "hen"))
    assert "do not compare them" in page(first, second)
    assert "do not compare them" not in page(first)
