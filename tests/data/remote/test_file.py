import hashlib
import os
from pathlib import Path

import pytest
from loopback import Loopback

from cavs_dist.data.remote.address import Address
from cavs_dist.data.remote.answer import Gone
from cavs_dist.data.remote.file import BLOCK, RemoteFile, ask_once, parts
from cavs_dist.errors import InputError

SIZE = 20 * BLOCK + 12_345


@pytest.fixture
def content(data_set: Path) -> bytes:
    data = os.urandom(SIZE)
    (data_set / "large.bin").write_bytes(data)
    return data


@pytest.fixture
def file(on_server: Address, content: bytes, server: Loopback) -> RemoteFile:
    return RemoteFile(on_server / "large.bin", SIZE, hashlib.sha256(content).hexdigest())


def ranges(server: Loopback) -> list[str]:
    return [wanted.removeprefix("bytes=") for _, wanted in server.asked]


def test_ranges_are_read_and_neighbours_asked_for_at_once(file: RemoteFile, content: bytes, server: Loopback) -> None:
    wanted = [(BLOCK - 5, 10), (3 * BLOCK + 1, 7), (0, 0), (2 * BLOCK, 5), (SIZE - 3, 3), (SIZE, 0)]
    assert file.read(wanted) == [content[first : first + size] for first, size in wanted]
    assert ranges(server) == [f"0-{4 * BLOCK - 1}", f"{20 * BLOCK}-{SIZE - 1}"]


def test_what_is_kept_is_not_asked_for_again(file: RemoteFile, content: bytes, server: Loopback) -> None:
    file.read([(BLOCK, 5)])
    assert file.read([(0, 3 * BLOCK)]) == [content[: 3 * BLOCK]]
    assert file.read([(0, 3 * BLOCK)]) == [content[: 3 * BLOCK]]
    assert ranges(server) == [f"{BLOCK}-{2 * BLOCK - 1}", f"0-{BLOCK - 1}", f"{2 * BLOCK}-{3 * BLOCK - 1}"]


def test_a_request_has_a_bound(file: RemoteFile, content: bytes, server: Loopback) -> None:
    assert file.whole() == content
    assert ranges(server) == [f"0-{16 * BLOCK - 1}", f"{16 * BLOCK}-{SIZE - 1}"]


def test_content_is_known_by_what_it_is_wherever_it_lies(
    file: RemoteFile, content: bytes, server: Loopback, data_set: Path
) -> None:
    file.read([(0, 10)])
    mirror = RemoteFile(file.parent / "mirror.bin", file.size, file.sha256)
    assert mirror.read([(5, 10)]) == [content[5:15]] and len(server.asked) == 1


@pytest.mark.parametrize("size", [0, 5, BLOCK + 1])
def test_a_kept_block_of_another_size_is_asked_for_again(file: RemoteFile, content: bytes, size: int) -> None:
    file.read([(0, 10)])
    (Path(file.address.rules.cache) / f"{file.sha256}-0").write_bytes(bytes(size))
    assert file.read([(0, 10)]) == [content[:10]]


def test_fresh_goes_past_the_cache_and_mends_it(file: RemoteFile, content: bytes, server: Loopback) -> None:
    file.read([(0, 10)])
    (Path(file.address.rules.cache) / f"{file.sha256}-0").write_bytes(bytes(BLOCK))
    assert file.read([(0, 10)]) == [bytes(10)]
    assert file.read([(0, 10)], fresh=True) == file.read([(0, 10)]) == [content[:10]]
    assert len(server.asked) == 2


def test_a_file_that_changes_its_size_or_goes_is_gone(file: RemoteFile, data_set: Path) -> None:
    os.truncate(data_set / "large.bin", SIZE - 1)
    with pytest.raises(Gone, match=f"it has {SIZE - 1} bytes, its index says {SIZE}"):
        file.read([(0, 10)])
    (data_set / "large.bin").unlink()
    with pytest.raises(Gone, match="no such file"):
        file.read([(0, 10)])


@pytest.mark.parametrize("fault", ["flip", "404", "resized"])
def test_damage_on_the_way_is_asked_for_again(file: RemoteFile, content: bytes, server: Loopback, fault: str) -> None:
    server.faults.append(fault)
    assert file.whole() == content


def test_a_forked_process_asks_for_itself(file: RemoteFile, content: bytes) -> None:
    assert file.read([(0, 10)]) == [content[:10]]
    child = os.fork()
    if not child:
        os._exit(file.read([(5 * BLOCK, 10)]) != [content[5 * BLOCK :][:10]])
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_of_an_unknown_file_no_more_is_read_than_wanted(on_server: Address, content: bytes) -> None:
    assert ask_once(on_server / "large.bin", SIZE) == content
    with pytest.raises(InputError, match=f"has {SIZE} bytes, at most 100 are read"):
        ask_once(on_server / "large.bin", 100)


def test_an_unknown_file_comes_in_parts_and_may_not_change(on_server: Address, content: bytes, data_set: Path) -> None:
    assert b"".join(parts(on_server / "large.bin")) == content
    reading = parts(on_server / "large.bin")
    next(reading)
    os.truncate(data_set / "large.bin", SIZE - 1)
    with pytest.raises(Gone, match=f"it had {SIZE} bytes, and has {SIZE - 1} now"):
        next(reading)
