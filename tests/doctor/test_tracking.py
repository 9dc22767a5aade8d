import socket
from pathlib import Path

import pytest

from cavs_dist.doctor.tracking import wandb

KEY = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of W&B's, no proxy, and a home without a key."""
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_BASE_URL", "NETRC", "https_proxy", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


def test_without_a_config_the_environment_says_the_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    assert wandb(None).found == "off, no key"
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert wandb(None).found == "offline, no key"
    assert wandb("off").found == "off, no key"


def test_online_without_a_key_fails() -> None:
    assert wandb("online").verdict == "failed"
    assert wandb("offline").verdict == "ok"


def test_the_key_itself_is_never_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".netrc").write_text(f"machine api.wandb.ai login user password {KEY}\n")
    (tmp_path / ".netrc").chmod(0o600)
    found = [wandb("offline")]
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    found.append(wandb("offline"))
    assert [one.found for one in found] == ["offline, a key in ~/.netrc", "offline, a key in WANDB_API_KEY"]
    assert KEY not in repr(found)


@pytest.mark.parametrize("text", ["machine", "\0\xff", "machine other.host login user password x"])
def test_a_damaged_or_other_netrc_holds_no_key(tmp_path: Path, text: str) -> None:
    (tmp_path / ".netrc").write_bytes(text.encode("latin-1"))
    assert wandb("offline").found == "offline, no key"


def test_a_server_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{server.getsockname()[1]}")
        assert wandb("online").verdict == "ok" and "127.0.0.1 answers" in wandb("online").found
    finding = wandb("online")
    assert finding.verdict == "warning" and "not reached" in finding.found and "wandb sync" in finding.advice
