import random
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from loopback import Loopback

from cavs_dist.data.remote.address import Address
from cavs_dist.data.remote.answer import Gone
from cavs_dist.data.remote.server import Server
from cavs_dist.errors import InputError


@pytest.fixture(params=["http", "s3"])
def tar(request: pytest.FixtureRequest, on_server: Address, data_set: Path) -> Address:
    """A shard on the server, asked for over HTTP, or as an object of S3."""
    folder = on_server if request.param == "http" else Address("s3", data_set.name, "", on_server.rules)
    return folder / "train-000000.tar"


def test_a_range_and_the_size(tar: Address, data_set: Path) -> None:
    content = (data_set / tar.name).read_bytes()
    server = Server(tar.rules)
    assert server.get(tar, 100, 300) == (content[100:300], len(content))
    assert server.get(tar, len(content) - 5, len(content) + 10) == (content[-5:], len(content))


@pytest.mark.parametrize(
    "fault", ["500", "503", "cut", "short", "long", "elsewhere", "unplaced", "unmeasured", "stall", "trickle"]
)
def test_what_may_pass_is_asked_for_again(
    tar: Address, data_set: Path, server: Loopback, fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    server.faults += [fault, fault]
    content = (data_set / tar.name).read_bytes()
    assert Server(tar.rules).get(tar, 100, 400) == (content[100:400], len(content))
    assert len(server.asked) == 3
    assert capsys.readouterr().err.count("asking again, and not told of again") == 1


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("whole", "is sent whole where a part was asked for: use a server that answers ranged requests"),
        ("403", "may not be read"),
        ("418", "the server answers 418"),
        ("redirect http://evil.example/x?token=geheim", "may not be read: data.remote.hosts|is redirected"),
    ],
)
def test_what_will_not_pass_is_said_at_once(tar: Address, server: Loopback, fault: str, message: str) -> None:
    server.faults.append(fault)
    with pytest.raises(InputError, match=rf"train-000000\.tar: .*({message})") as caught:
        Server(tar.rules).get(tar, 0, 100)
    assert len(server.asked) == 1 and "geheim" not in str(caught.value)


@pytest.mark.parametrize("fault", ["404", "416"])
def test_what_is_not_there_is_gone(tar: Address, server: Loopback, fault: str) -> None:
    server.faults.append(fault)
    with pytest.raises(Gone, match=fault):
        Server(tar.rules).get(tar, 0, 100)


def test_attempts_are_counted(tar: Address, server: Loopback) -> None:
    server.always[".tar"] = "500"
    with pytest.raises(InputError, match=r"cannot be read: the server answers 500, 3 times over"):
        Server(tar.rules).get(tar, 0, 100)
    assert len(server.asked) == 3


def test_so_are_the_failures_of_a_process(tar: Address, server: Loopback) -> None:
    asking = Server(replace(tar.rules, failures=4))
    for _ in range(3):
        server.faults.append("500")
        asking.get(tar, 0, 100)
    server.faults.append("500")
    with pytest.raises(InputError, match=r"4 requests failed in this process, all that data\.remote\.failures allows"):
        asking.get(tar, 0, 100)


def test_a_server_that_is_not_there_is_said(tar: Address, server: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    nobody = replace(tar.rules, hosts=("127.0.0.1:1",))
    address = replace(tar, host=tar.host if tar.scheme == "s3" else "127.0.0.1:1", rules=nobody)
    with pytest.raises(InputError, match=r"cannot be read: the (server cannot be reached|connection broke).*3 times"):
        Server(nobody).get(address, 0, 100)


def test_a_server_is_left_alone_for_as_long_as_it_asks(tar: Address, server: Loopback) -> None:
    server.faults.append("429")
    begun = time.monotonic()
    Server(tar.rules).get(tar, 0, 100)
    assert time.monotonic() - begun > 1


def test_waiting_draws_nothing_from_seeded_randomness(tar: Address, server: Loopback) -> None:
    random.seed(3)
    before = random.getstate()
    server.faults += ["500", "500"]
    Server(tar.rules).get(tar, 0, 100)
    assert random.getstate() == before


def test_pauses_grow_and_differ(tar: Address) -> None:
    server = Server(replace(tar.rules, backoff=1.0))
    assert server._pause(0, 5.0) == 0
    for attempt, longest in ((1, 1), (2, 2), (3, 4), (10, 30)):
        pauses = {server._pause(attempt, 0.0) for _ in range(20)}
        assert len(pauses) == 20 and longest / 2 <= min(pauses) and max(pauses) <= longest
    assert server._pause(1, 7.0) > 7


def test_a_missing_package_is_named_with_its_remedy(tar: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    package = "s3fs" if tar.scheme == "s3" else "aiohttp"
    monkeypatch.delitem(sys.modules, f"cavs_dist.data.remote.{tar.scheme}", raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=rf"the package {package} is missing: run `pip install 'cavs_dist\[remote\]'`"):
        Server(tar.rules).get(tar, 0, 100)
