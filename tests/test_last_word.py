import json
from pathlib import Path

import pytest

from cavs_dist.last_word import NAME, VARIABLE, leave_last_word, read_last_words


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "node-0" / "0" / NAME
    path.parent.mkdir(parents=True)
    monkeypatch.setenv(VARIABLE, str(path))
    return path


def test_the_first_word_stands(file: Path, tmp_path: Path) -> None:
    leave_last_word("the disk is full", 2)
    leave_last_word("another rank ended", 1)
    (word,) = read_last_words(tmp_path)
    assert (word.code, word.sentence) == (2, "the disk is full")
    assert json.loads(file.read_text())["message"] == "the disk is full"  # where torchrun looks for it


def test_without_a_launcher_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    leave_last_word("the disk is full", 2)
    assert not list(tmp_path.iterdir()) and read_last_words(tmp_path) == ()


def test_a_place_that_takes_no_file_is_no_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "missing" / NAME))
    leave_last_word("the disk is full", 2)
    assert read_last_words(tmp_path) == ()


def test_words_come_in_the_order_of_time_and_nonsense_not_at_all(tmp_path: Path) -> None:
    told = ['{"time": 2, "code": 1, "message": "b"}', '{"time": 1, "code": 75, "message": "a"}', "[1]", "{", "[" * 9999]
    for number, text in enumerate([*told, '{"time": 0, "code": "x", "message": "c"}']):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / NAME).write_text(text)
    assert [(word.code, word.sentence) for word in read_last_words(tmp_path)] == [(75, "a"), (1, "b")]
