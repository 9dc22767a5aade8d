from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cavs_dist.errors import InputError
from cavs_dist.report.fields import Fields, parse_object, read_text


def test_right_values_are_returned_as_they_are() -> None:
    fields = Fields({"n": 3, "x": -1.5, "t": "a", "l": ["a", "b"], "s": [0, 1, None], "m": [[1, 2], [3, 4]]}, "file")
    assert (fields.integer("n"), fields.number("x"), fields.text("t"), fields.names("l")) == (3, -1.5, "a", ("a", "b"))
    assert fields.shares("s", 3) == (0.0, 1.0, None)
    assert fields.levels("s", 3) == (0.0, 1.0, None)
    assert fields.counts("m", 2).tolist() == [[1, 2], [3, 4]]


def test_pairs_and_objects_are_read() -> None:
    fields = Fields({"o": [{"x": [-200, 1.5], "p": [0, 2]}, {}]}, "file")
    first, second = fields.objects("o")
    assert (first.level_pair("x"), first.position_pair("p", 3)) == ((-200.0, 1.5), (0, 2))
    with pytest.raises(InputError, match="file: `o` 1: `x` is nothing"):
        second.level_pair("x")


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (-1, lambda fields: fields.integer("key")),
        (True, lambda fields: fields.integer("key")),
        (2**64, lambda fields: fields.integer("key")),
        (float("inf"), lambda fields: fields.number("key")),
        ("1", lambda fields: fields.number("key")),
        (None, lambda fields: fields.text("key")),
        (["a", "a"], lambda fields: fields.names("key")),
        ([0.5, 1.5], lambda fields: fields.shares("key", 2)),
        ([0.5], lambda fields: fields.shares("key", 2)),
        ([0.5, 200.5], lambda fields: fields.levels("key", 2)),
        ([0.5, float("nan")], lambda fields: fields.levels("key", 2)),
        ([0.5, True], lambda fields: fields.levels("key", 2)),
        ([0.5], lambda fields: fields.levels("key", 2)),
        ([0.5, None], lambda fields: fields.level_pair("key")),
        ([0.5], lambda fields: fields.level_pair("key")),
        ([0, 3], lambda fields: fields.position_pair("key", 3)),
        ([-1, 0], lambda fields: fields.position_pair("key", 3)),
        ([0, 1, 2], lambda fields: fields.position_pair("key", 3)),
        ([{}, 1], lambda fields: fields.objects("key")),
        ([[1, 2]], lambda fields: fields.counts("key", 2)),
        ([[1, 2], [3, 0.5]], lambda fields: fields.counts("key", 2)),
    ],
)
def test_a_wrong_value_is_refused_with_the_file_and_the_key(value: Any, read: Callable[[Fields], Any]) -> None:
    with pytest.raises(InputError, match=r"evaluation: `key` is .* expected"):
        read(Fields({"key": value}, "evaluation"))


def test_a_missing_key_is_nothing() -> None:
    with pytest.raises(InputError, match="`key` is nothing"):
        Fields({}, "file").text("key")


@pytest.mark.parametrize("text", ["{", "[1]", '{"a": NaN}', "[" * 100_000, "1" * 5000])
def test_text_that_holds_no_object_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="file"):
        parse_object(text, "file")


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="UTF-8"):
        read_text(tmp_path / "binary")
    with pytest.raises(InputError, match="cannot be read"):
        read_text(tmp_path / "missing")
