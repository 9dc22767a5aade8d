"""`shards.json`: the indexes of a folder of shards, for servers do not list what they hold."""

import hashlib
import json
import re
from pathlib import Path

from cavs_dist.data.layout import digest, field, whole
from cavs_dist.data.remote.address import Address
from cavs_dist.data.remote.answer import Gone
from cavs_dist.data.remote.file import RemoteFile, ask_once
from cavs_dist.errors import InputError
from cavs_dist.files import whole as written_whole

CATALOGUE = "shards.json"
FORMAT = 1
LARGEST_CATALOGUE = 1 << 26
LARGEST_INDEX = 1 << 28
INDEX = re.compile(r"[^./\\%?#][^/\\%?#]*-[0-9]+\.json")


def make_catalogue(folder: Path) -> str:
    """Return the catalogue of the indexes in `folder`, as text; InputError if there is none."""
    indexes = {path.name: path.read_bytes() for path in sorted(folder.glob("*.json")) if INDEX.fullmatch(path.name)}
    if not indexes:
        raise InputError(f"{folder} has no indexes: expected train-000000.json and so on, as `cavs-dist data` makes")
    entries = {name: [len(data), hashlib.sha256(data).hexdigest()] for name, data in indexes.items()}
    return json.dumps({"format": FORMAT, "indexes": entries}, indent=0)


def write_catalogue(folder: Path) -> Path:
    """Write the catalogue of the indexes in `folder` beside them."""
    text = make_catalogue(folder)
    with written_whole(folder / CATALOGUE) as beside:
        beside.write_text(text)
    return folder / CATALOGUE


def read_catalogue(folder: Address) -> dict[str, RemoteFile]:
    """Return the indexes of a folder on a server, by name, in order. InputError without a good catalogue."""
    address = folder / CATALOGUE
    try:
        text = ask_once(address, LARGEST_CATALOGUE)
    except Gone as error:
        raise InputError(
            f"{address} cannot be read: {error.reason}; run `cavs-dist data catalogue FOLDER` where the shards were "
            f"made, and copy {CATALOGUE} to the server too"
        ) from None
    try:
        return _parse(folder, json.loads(text))
    except InputError as error:
        raise InputError(f"{address}: {error}") from None
    except (ValueError, RecursionError):
        raise InputError(f"{address} is no JSON: make it again with `cavs-dist data catalogue`") from None


def _parse(folder: Address, record: object) -> dict[str, RemoteFile]:
    version = whole(field(record, "format", int), 1, 1 << 31, "format")
    if version > FORMAT:
        raise InputError(f"format {version} is newer than {FORMAT}, the newest this version reads: update cavs_dist")
    entries = field(record, "indexes", dict)
    for name, entry in entries.items():
        if not INDEX.fullmatch(name) or not isinstance(entry, list) or len(entry) != 2:
            raise InputError(f"'indexes' has {name[:60]!r}: {repr(entry)[:60]}, expected a name and [size, sha256]")
    return {
        name: RemoteFile(folder / name, whole(size, 1, LARGEST_INDEX, "size"), digest(sha256))
        for name, (size, sha256) in sorted(entries.items())
    }
