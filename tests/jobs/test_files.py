import json
import os
import time
from pathlib import Path

import pytest

from cavs_dist.jobs.files import (
    LARGEST,
    TAIL,
    count,
    last_objects,
    number,
    read_object,
    read_settings,
    read_text,
    setting,
    shown,
)


def test_the_end_of_a_log_is_read_and_torn_lines_are_left(tmp_path: Path) -> None:
    log = tmp_path / "metrics.jsonl"
    log.write_text('{"update": 1}\nnot json\n[1]\n{"update": 2}\n{"update": 3')
    assert last_objects(log) == [{"update": 1}, {"update": 2}]
    log.write_bytes(b"\xff\xfe\n" + b'{"update": 1}\n' + b"[" * 100_000 + b"\n")
    assert last_objects(log) == []
    assert last_objects(tmp_path / "nowhere") == last_objects(tmp_path) == []


def test_a_long_log_costs_no_more_than_a_short_one(tmp_path: Path) -> None:
    log = tmp_path / "metrics.jsonl"
    with log.open("w") as file:
        file.write('{"update": 0}\n')
        file.truncate(1 << 33)  # 8 GiB of nothing
        file.seek(0, os.SEEK_END)
        file.write('\n{"update": 7}\n')
    start = time.monotonic()
    assert last_objects(log) == [{"update": 7}]
    assert time.monotonic() - start < 1
    log.write_text("".join(json.dumps({"update": number, "pad": "x" * 100}) + "\n" for number in range(5000)))
    found = [one["update"] for one in last_objects(log)]
    assert found == list(range(found[0], 5000)) and 0 < len(found) < TAIL / 100


@pytest.mark.parametrize("text", ["", "[1, 2]", "{", "nul", '{"a": 1', "[" * 100_000])
def test_what_is_no_object_is_an_empty_one(tmp_path: Path, text: str) -> None:
    (tmp_path / "file").write_text(text)
    assert read_object(tmp_path / "file") == {}


def test_files_that_are_too_large_or_no_files_are_empty(tmp_path: Path) -> None:
    with (tmp_path / "large").open("wb") as file:
        file.truncate(LARGEST + 1)
    assert read_text(tmp_path / "large") == read_text(tmp_path) == read_text(tmp_path / "nowhere") == ""


@pytest.mark.parametrize("text", ["a: [", "- 1", "!!python/object:os.system {}", "\t", "a: &x [*x]"])
def test_damaged_configs_have_no_settings(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.yaml").write_text(text)
    assert setting(read_settings(tmp_path / "config.yaml"), "method", "name") == ""


def test_settings_are_text(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("method: {name: 0123}\nseed: 3\n")
    settings = read_settings(tmp_path / "config.yaml")
    assert setting(settings, "method", "name") == "0123" and setting(settings, "seed", "x") == ""


def test_numbers_are_what_they_say() -> None:
    odd = {"a": True, "b": "1", "c": -1, "d": 1e400, "e": None, "f": [1], "g": 1 << 60}
    assert [count(odd, key) for key in odd] == [None] * 7
    assert [number(odd, key) for key in "abdef"] == [None] * 5
    assert (count({"a": 3}, "a"), number({"a": 3}, "a"), number({"a": -0.5}, "a")) == (3, 3.0, -0.5)


def test_nothing_reaches_a_terminal_that_moves_its_cursor() -> None:
    assert shown("a\x1b[31mb\nc\r") == "a [31mb c"
