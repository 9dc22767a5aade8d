"""One JSON object from outside, read key by key: every surprise is an InputError that names the file and the key."""

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn, TypeGuard

import numpy as np
from numpy.typing import NDArray

from cavs_dist.errors import InputError

MOST_BYTES = 1 << 29
MOST_DECIBELS = 200.0  # what `metrics/bss.py` gives at most


def read_text(path: Path) -> str:
    """Return a file's text. Raises InputError if it cannot be read, is larger than 512 MiB, or is not UTF-8."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise InputError(f"{path} is larger than {MOST_BYTES >> 20} MiB: this is no file that a run wrote")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): give a folder that a run wrote") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text: give a folder that a run wrote") from error


def parse_object(text: str, where: str) -> dict[str, Any]:
    """Return the JSON object that `text` holds; `where` names it in the InputError if there is none."""

    def refuse(word: str) -> NoReturn:
        raise ValueError(f"{word} is no JSON number")

    try:
        value = json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where} is not valid JSON ({error}): it is cut off or was edited") from error
    if not isinstance(value, dict):
        raise InputError(f"{where} holds {_short(value)} where a JSON object is expected")
    return value


class Fields:
    """Typed access to the keys of one JSON object."""

    def __init__(self, values: Mapping[str, Any], where: str) -> None:
        self._values = values
        self._where = where

    def refuse(self, key: str, expected: str) -> NoReturn:
        """Raise the InputError that says what was found under `key`, and what was expected."""
        found = _short(self._values[key]) if key in self._values else "nothing"
        raise InputError(
            f"{self._where}: `{key}` is {found}, expected {expected}: the file is of another version or was edited"
        )

    def integer(self, key: str) -> int:
        """Return a whole number, 0 or more."""
        value = self._values.get(key)
        return value if _is_count(value) else self.refuse(key, "a whole number, 0 or more")

    def number(self, key: str) -> float:
        """Return a finite number."""
        value = self._values.get(key)
        return float(value) if _is_number(value) else self.refuse(key, "a finite number")

    def text(self, key: str) -> str:
        """Return a text."""
        value = self._values.get(key)
        return value if isinstance(value, str) else self.refuse(key, "a text")

    def names(self, key: str) -> tuple[str, ...]:
        """Return a list of different texts."""
        value = self._values.get(key)
        if _is_list(value, lambda item: isinstance(item, str)) and len(set(value)) == len(value):
            return tuple(value)
        self.refuse(key, "a list of different names")

    def shares(self, key: str, length: int) -> tuple[float | None, ...]:
        """Return a list of `length` numbers from 0 to 1, or None where the file says null."""
        value = self._values.get(key)
        if _is_list(value, _is_share_or_null) and len(value) == length:
            return tuple(None if item is None else float(item) for item in value)
        self.refuse(key, f"a list of {length} numbers from 0 to 1, or null, one a class")

    def levels(self, key: str, length: int) -> tuple[float | None, ...]:
        """Return a list of `length` numbers from -200 to 200, in dB, or None where the file says null."""
        value = self._values.get(key)
        if _is_list(value, lambda item: item is None or _is_level(item)) and len(value) == length:
            return tuple(None if item is None else float(item) for item in value)
        self.refuse(key, f"a list of {length} numbers from -200 to 200, or null")

    def level_pair(self, key: str) -> tuple[float, float]:
        """Return two numbers from -200 to 200, in dB."""
        value = self._values.get(key)
        if _is_list(value, _is_level) and len(value) == 2:
            return float(value[0]), float(value[1])
        self.refuse(key, "two numbers from -200 to 200")

    def position_pair(self, key: str, length: int) -> tuple[int, int]:
        """Return two positions in a list of `length`."""
        value = self._values.get(key)
        if _is_list(value, lambda item: _is_count(item) and item < length) and len(value) == 2:
            return value[0], value[1]
        self.refuse(key, f"two whole numbers from 0 to {length - 1}")

    def objects(self, key: str) -> "list[Fields]":
        """Return a list of objects."""
        value = self._values.get(key)
        if _is_list(value, lambda item: isinstance(item, dict)):
            return [Fields(item, f"{self._where}: `{key}` {number}") for number, item in enumerate(value)]
        self.refuse(key, "a list of objects")

    def counts(self, key: str, side: int) -> NDArray[np.int64]:
        """Return a [side, side] matrix of whole numbers, 0 or more."""
        value = self._values.get(key)
        if _is_list(value, lambda row: _is_list(row, _is_count) and len(row) == side) and len(value) == side:
            return np.array(value, dtype=np.int64)
        self.refuse(key, f"a matrix of {side} x {side} whole numbers, 0 or more")


def _is_count(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 63


def _is_number(value: Any) -> TypeGuard[float]:
    # JSON's 1e999 is read as infinity.
    return _is_count(abs(value)) if isinstance(value, int) else isinstance(value, float) and math.isfinite(value)


def _is_share_or_null(value: Any) -> bool:
    return value is None or (_is_number(value) and 0 <= value <= 1)


def _is_level(value: Any) -> bool:
    return not isinstance(value, bool) and _is_number(value) and abs(value) <= MOST_DECIBELS


def _is_list(value: Any, right: Callable[[Any], bool]) -> TypeGuard[list[Any]]:
    return isinstance(value, list) and all(right(item) for item in value)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}..."
