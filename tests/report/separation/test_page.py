import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np

from cavs_dist.report.names import named_runs
from cavs_dist.report.read import read_run
from cavs_dist.report.separation.evaluation import judged
from cavs_dist.report.separation.page import render
from cavs_dist.report.separation.summary import make_summary

MakeRun = Callable[..., Path]
VOID = {"meta", "img", "br", "link", "input"}


class Balance(HTMLParser):
    """Collects what is open, what is closed without being open, and every attribute."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.attributes: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [name for name, _ in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [name for name, _ in attrs]

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)


def page(*folders: Path) -> str:
    runs = named_runs([judged(read_run(folder)) for folder in folders])
    return render(runs, make_summary(runs, 75.0), folders[0].parent)


def test_the_page_is_whole_and_needs_nothing_from_outside(make_run: MakeRun) -> None:
    html = page(make_run("a"), make_run("b", method="lwf", shift=-1.0))
    balance = Balance()
    balance.feed(html)
    assert (balance.open, balance.wrong) == ([], [])
    assert "<script" not in html
    assert not re.search(r"(src|href|url\()\s*=?[\"'(]?(https?:)?//", html)
    policy = re.findall(r'Content-Security-Policy" content="([^"]*)"', html)
    assert policy == ["default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'"]
    # Two mixtures after each of two stages: each is heard itself, and two sources as truth and by two runs.
    assert html.count("<audio") == html.count("data:audio/flac;base64") == 2 * 2 * (1 + 2 * 3)
    assert html.count("data:image/png;base64") == html.count("<audio")
    assert html.count("data:image/jpeg;base64") == 2 * 2 * 2
    for words in ("8,000 Hz", "made/up", "1 min 15 s", "9; 0 left out; 0 sources flagged", "test-1-a + test-1-b"):
        assert words in html, words


def test_the_numbers_are_in_short_and_in_words(make_run: MakeRun) -> None:
    html = page(make_run("a"), make_run("b", method="lwf", shift=-1.0))
    assert re.findall(r'class="big">([^<]*)<', html) == ["50 %", "40 %"]
    assert "contavsep separates better than lwf: by 1.00 dB SDR on the same 9 mixtures" in html
    rows = [re.findall(r"<td[^>]*>([^<]*)</td>", row) for row in re.findall(r"<tr[^>]*><th>.*?</tr>", html, re.DOTALL)]
    assert [row[:8] for row in rows[1:3]] == [
        ["4.67", "9.00", "11.00", "3.00", "8.00", "3.00", "5.33", "5.00"],
        ["3.67", "9.00", "11.00", "2.00", "7.00", "3.00", "4.33", "4.00"],
    ]
    assert [row[:7] for row in rows[3:5]] == [
        ["−0.33", "–", "–", "0.00", "−1.00", "–", "−0.17"],
        ["15.00", "–", "–", "15.00", "15.00", "–", "15.00"],
    ]
    assert html.count('class="stroke faint"') == 3 * 2


def test_runs_that_share_no_floor_have_one_each(make_run: MakeRun) -> None:
    other = make_run("b", method="lwf")
    path = other / "stages" / "1" / "evaluation.json"
    record = json.loads(path.read_text())
    for mixture in record["mixtures"]:
        mixture["floor"] = [value + 2 for value in mixture["floor"]]
    path.write_text(json.dumps(record))
    html = page(make_run("a"), other)
    assert "floor: the mixture, of contavsep" in html and "floor: the mixture, of lwf" in html
    assert "contavsep and lwf were not judged on the same mixtures" in html


def test_a_single_stage_still_shows_its_floor(make_run: MakeRun) -> None:
    html = page(make_run(stages=1))
    assert html.count('class="stroke faint"') == 2 * 2
    assert all("L" in path for path in re.findall(r'class="stroke faint" d="([^"]*)"', html))
    assert 'class="big"' not in html


def test_names_and_keys_from_outside_stay_text(make_run: MakeRun) -> None:
    folder = make_run("a", classes=("<script>", "x' onload='y", 'z" onplay="z'))
    for path in folder.glob("stages/*/examples.npz"):
        keys = np.array([['"><b onclick="', "<script>alert()"]] * 2)
        np.savez(path, **(dict(np.load(path)) | {"keys": keys}))
    html = page(folder)
    balance = Balance()
    balance.feed(html)
    assert "<script" not in html and "&lt;script&gt;alert()" in html
    assert not [name for name in balance.attributes if name.startswith("on")]
    assert (balance.open, balance.wrong) == ([], [])


def test_what_an_unfinished_run_lacks_is_said_in_words(make_run: MakeRun) -> None:
    folder = make_run("a", stages=0)
    html = page(folder)
    assert "has no evaluated stage yet" in html and "<audio" not in html
    other = make_run("b", method="lwf")
    for path in other.glob("stages/*/examples.npz"):
        path.unlink()
    assert "No examples were kept after this stage" in page(folder, other)


def test_older_stages_are_folded_and_show_fewer_so_that_the_page_stays_small(make_run: MakeRun) -> None:
    classes = ("dog", "drum", "bird", "bell", "cow")
    big = {"stages": 4, "classes": classes, "count": 4, "samples": 65535}
    html = page(*(make_run(name, method=name, **big) for name in ("a", "b", "c")))
    assert len(html) < 15_000_000
    assert html.count("<audio") == (4 + 3 * 2) * (1 + 2 * 4)
    shown = re.search(r'<section id="examples">(.*?)</section>', html, re.DOTALL)
    assert shown is not None
    assert re.findall(r"<details(.*?)>", shown.group(1)) == [" open", "", "", ""]
