"""Files of a run folder, read while another process writes them, or long after somebody damaged them."""

import json
from pathlib import Path
from typing import Any

import yaml

LARGEST = 4 << 20  # bytes of a file that is read whole
LARGEST_NUMBER = 1e300
TAIL = 64 << 10  # bytes of a log that are read, from its end


def read_text(path: Path) -> str:
    """Return a file's text, empty where it cannot be read or is larger than any that a run writes."""
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except OSError:
        return ""
    return content.decode("utf-8", errors="replace") if len(content) <= LARGEST else ""


def read_object(path: Path) -> dict[str, Any]:
    """Return the JSON object of a file, an empty one where there is none."""
    return _object(read_text(path))


def last_objects(path: Path) -> list[dict[str, Any]]:
    """Return the JSON objects on the last whole lines of a log, from its last 64 KiB; lines that hold none are left."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - TAIL))
            text = file.read(TAIL)
    except OSError:
        return []
    lines = text.split(b"\n")[1 if size > TAIL else 0 : -1]
    return [found for line in lines if (found := _object(line.decode("utf-8", errors="replace")))]


def read_settings(path: Path) -> dict[str, Any]:
    """Return a config as a tree whose leaves are text, an empty one where it is damaged."""
    try:
        # Texts, lists and mappings only, by the C library where PyYAML has it: ten times as fast.
        tree = yaml.load(read_text(path), Loader=getattr(yaml, "CBaseLoader", yaml.BaseLoader))
    except (yaml.YAMLError, RecursionError):
        return {}
    return tree if isinstance(tree, dict) else {}


def setting(settings: dict[str, Any], section: str, key: str) -> str:
    """Return the text at `section.key`, empty where there is none."""
    found = settings.get(section)
    value = found.get(key) if isinstance(found, dict) else None
    return shown(value) if isinstance(value, str) else ""


def count(values: dict[str, Any], key: str) -> int | None:
    """Return a whole number from 0, None where there is none under `key`."""
    value = values.get(key)
    return value if type(value) is int and 0 <= value < 1 << 53 else None


def number(values: dict[str, Any], key: str) -> float | None:
    """Return a finite number, None where there is none under `key`."""
    value: Any = values.get(key)
    return float(value) if type(value) in (int, float) and abs(value) < LARGEST_NUMBER else None


def shown(text: str, most: int = 300) -> str:
    """Return one line that a terminal can show."""
    return "".join(character if character.isprintable() else " " for character in text[:most]).strip()


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
