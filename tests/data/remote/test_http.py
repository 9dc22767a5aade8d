import os
import ssl
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import trustme
from fsspec.asyn import sync
from loopback import Loopback, serving

from cavs_dist.data.remote.address import Address
from cavs_dist.data.remote.catalogue import write_catalogue
from cavs_dist.data.remote.http import Http
from cavs_dist.errors import InputError


def get(address: Address, first: int = 0, stop: int = 100) -> tuple[bytes, int]:
    http = Http(address.rules)
    answer: tuple[bytes, int] = sync(http.loop, http.get, address, first, stop)
    return answer


def server_context(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


def test_a_redirect_to_a_listed_host_is_followed(data_set: Path, on_server: Address, server: Loopback) -> None:
    with serving(data_set.parent) as other:
        rules = replace(on_server.rules, hosts=(server.host, other.host))
        target = f"{other.url}/{data_set.name}/train-000000.tar"
        server.faults.append(f"redirect {target}?signed=1")
        data, _ = get(replace(on_server / "train-000000.tar", rules=rules), 10, 50)
        assert data == (data_set / "train-000000.tar").read_bytes()[10:50]
        assert other.asked == [(f"/{data_set.name}/train-000000.tar", "bytes=10-49")]


@pytest.mark.parametrize("scheme", ["http", "https", "file", "ftp"])
def test_no_other_host_hears_of_a_redirect(on_server: Address, server: Loopback, data_set: Path, scheme: str) -> None:
    with serving(data_set.parent) as other:
        server.faults.append(f"redirect {scheme}://{other.host}/{data_set.name}/train-000000.tar?token=geheim")
        with pytest.raises(Exception, match=r"may not be read|the connection broke") as caught:
            get(on_server / "train-000000.tar")
        assert not other.asked and "geheim" not in str(caught.value)


def test_redirects_in_circles_end(on_server: Address, server: Loopback) -> None:
    address = on_server / "train-000000.tar"
    server.always[".tar"] = f"redirect {address}"
    with pytest.raises(InputError, match="is redirected more than 5 times"):
        get(address)


def test_names_with_spaces_and_other_letters(on_server: Address, data_set: Path, server: Loopback) -> None:
    for name in ("a b.tar", "Straße.tar", "100%.tar", "a+b.tar"):
        (data_set / name).write_bytes(name.encode())
        assert get(on_server / name)[0] == name.encode()


def test_nothing_of_netrc_is_sent(
    on_server: Address, server: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password geheim\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    get(on_server / "train-000000.tar")
    assert server.authorized == [None]


def test_the_environment_s_proxy_is_used(
    on_server: Address, server: Loopback, data_set: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_PROXY")
    monkeypatch.setenv("http_proxy", server.url)
    rules = replace(on_server.rules, hosts=("shards.example.org",))
    address = Address("http", "shards.example.org", f"{data_set.name}/train-000000.tar", rules)
    assert get(address)[0] == (data_set / "train-000000.tar").read_bytes()[:100]


def test_https_with_a_certificate_that_is_trusted_and_one_that_is_not(data_set: Path, tmp_path: Path) -> None:
    write_catalogue(data_set)
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = server_context(authority)
    with serving(data_set.parent, context) as server:
        command = [sys.executable, "-m", "cavs_dist", "data", "check", f"{server.url}/{data_set.name}"]
        command += [f"hosts=['{server.host}']", f"cache={tmp_path}/cache", "attempts=1", "--workers", "1"]
        trusting = os.environ | {"SSL_CERT_FILE": str(tmp_path / "ca.pem"), "NO_PROXY": "127.0.0.1"}
        trusted = subprocess.run(command, env=trusting, capture_output=True, text=True, check=False)
        assert (trusted.returncode, trusted.stderr.count("error")) == (0, 0), trusted
        assert "every clip is whole" in trusted.stdout
        doubted = subprocess.run(command, env=os.environ | {"NO_PROXY": "127.0.0.1"}, capture_output=True, text=True)
        assert doubted.returncode == 2 and "the server's certificate is not trusted" in doubted.stderr
