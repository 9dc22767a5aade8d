import socket

import pytest

from cavs_dist.doctor import network
from cavs_dist.doctor.network import chosen, host_name, interfaces

THERE = ["lo", "eth0", "eth1", "ib0", "docker0"]


@pytest.mark.parametrize(
    ("wanted", "taken"),
    [
        ("eth", ["eth0", "eth1"]),
        ("=eth0", ["eth0"]),
        ("=eth", []),
        ("^lo,docker", ["eth0", "eth1", "ib0"]),
        ("^=eth0", ["lo", "eth1", "ib0", "docker0"]),
        ("wlan", []),
    ],
)
def test_the_choice_of_interfaces(wanted: str, taken: list[str]) -> None:
    assert chosen(wanted, THERE) == taken


def test_interfaces_that_are_not_there_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NCCL_SOCKET_IFNAME", "GLOO_SOCKET_IFNAME"):
        monkeypatch.delenv(name, raising=False)
    assert interfaces().verdict == "ok" and "lo" in interfaces().found
    for name in ("NCCL_SOCKET_IFNAME", "GLOO_SOCKET_IFNAME"):
        with monkeypatch.context() as patch:
            patch.setenv(name, "nowhere0")
            assert interfaces().verdict == "failed" and name in interfaces().advice
            patch.setenv(name, "lo")
            assert interfaces().verdict == "ok"


def test_a_name_without_an_address_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    assert host_name(1).found.startswith(socket.gethostname())
    monkeypatch.setattr(network.socket, "gethostname", lambda: "nowhere.invalid")
    assert host_name(1).verdict == "failed" and "no address" in host_name(1).found


def test_a_loopback_address_does_for_one_node_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network.socket, "gethostname", lambda: "localhost")
    assert (host_name(1).verdict, host_name(2).verdict) == ("ok", "failed")
