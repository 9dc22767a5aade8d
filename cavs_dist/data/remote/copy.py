"""A shard on a server, copied whole to the node's disk for as long as it is needed."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from cavs_dist.data.remote.address import Address
from cavs_dist.data.remote.answer import Gone
from cavs_dist.data.remote.blocks import private_folder
from cavs_dist.data.remote.file import parts


@contextmanager
def copied(tar: Address) -> Iterator[Path]:
    """Give a copy of a shard with its index beside it, as the server sends them, right or wrong; missing if it has not.

    It lies below the cache's folder, which has to have the room, and is removed when the block is left.
    """
    with TemporaryDirectory(prefix="copy-", dir=private_folder(tar.rules.cache)) as name:
        copy = Path(name) / tar.name
        _copy(tar, copy)
        _copy(tar.parent / copy.with_suffix(".json").name, copy.with_suffix(".json"))
        yield copy


def _copy(address: Address, path: Path) -> None:
    with suppress(Gone):
        for part in parts(address):
            with path.open("ab") as file:
                file.write(part)
