"""The CSV files that list recordings, read as untrusted input."""

import csv
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from cavs_dist.data.layout import refuse_key
from cavs_dist.errors import InputError

SPLITS = ("train", "val", "test")
Row = Mapping[str, str]


def read_rows(
    path: Path, key: str, columns: Sequence[str] = (), choices: Mapping[str, Collection[str]] | None = None
) -> list[Row]:
    """Read the rows of `path`, white space around each value stripped.

    key: the column that names each recording: a plain name, each once. columns: others that must be there.
    choices: columns with the values that they may have.
    """
    choices = choices or {}
    rows: list[Row] = []
    seen: set[str] = set()
    for number, row in _read(path, (key, *columns, *choices)):
        where = f"{path} line {number}"
        _refuse_name(row[key], f"{where}: {key}")
        if row[key] in seen:
            raise InputError(f"{where}: {key} {row[key]!r} is listed for the second time: each recording has one row")
        for column, allowed in choices.items():
            if row[column] not in allowed:
                raise InputError(f"{where}: {column} is {row[column]!r}, expected one of {', '.join(allowed)}")
        seen.add(row[key])
        rows.append(row)
    return rows


def _read(path: Path, columns: Sequence[str]) -> list[tuple[int, dict[str, str]]]:
    """Return (line number, the wanted columns) of each row."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, strict=True)
            missing = [column for column in columns if column not in (reader.fieldnames or ())]
            if missing:
                raise InputError(
                    f"{path} has no column {', '.join(missing)}: its first line must be {','.join(columns)}"
                )
            rows = [(reader.line_num, {column: row[column] for column in columns}) for row in reader]
    except FileNotFoundError:
        raise InputError(f"there is no {path.name} in {path.parent}: give the folder that holds it") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} cannot be read as CSV in UTF-8: {error}") from None
    for number, row in rows:
        if None in row.values():
            raise InputError(f"{path} line {number} has fewer values than the first line has columns")
    return [(number, {column: value.strip() for column, value in row.items()}) for number, row in rows]


def _refuse_name(name: str, what: str) -> None:
    """Raise InputError unless `name` can be a folder's name and a clip's key."""
    try:
        refuse_key(name)
    except InputError as error:
        raise InputError(f"{what}: {error}") from None
