"""Weights & Biases: in which mode a run would use it, whether there is a key, whether its server is reached."""

import netrc
import os
import socket
from pathlib import Path
from urllib.parse import urlsplit

from cavs_dist.doctor.finding import Finding

SERVER = "https://api.wandb.ai"
PROXIES = ("https_proxy", "HTTPS_PROXY")


def wandb(mode: str | None) -> Finding:
    """Check what `track.wandb=online` needs. mode: of the run's config, None where there is none.

    Of the key is told whether and where it is, and nothing of it.
    """
    mode = mode or os.environ.get("WANDB_MODE") or "off"
    server = urlsplit(os.environ.get("WANDB_BASE_URL", SERVER))
    key = where_key_is(server.netloc)
    found = f"{mode}, " + (f"a key in {key}" if key else "no key")
    if mode != "online":
        return Finding("ok", found)
    if not key:
        return Finding("failed", found, "run `wandb login` as the user of the job, or set track.wandb=offline")
    if any(os.environ.get(name) for name in PROXIES):
        return Finding("ok", f"{found}, through a proxy")
    try:
        with socket.create_connection((server.hostname or "", server.port or 443), timeout=5):
            pass
    except OSError as error:
        advice = "set track.wandb=offline, and send the runs later by `wandb sync`"
        return Finding("warning", f"{found}, but {server.hostname} is not reached ({error.strerror or error})", advice)
    return Finding("ok", f"{found}, {server.hostname} answers")


def where_key_is(server: str) -> str:
    """Return where a key for the server is kept, empty where there is none."""
    if os.environ.get("WANDB_API_KEY"):
        return "WANDB_API_KEY"
    for path in (os.environ.get("NETRC", ""), "~/.netrc", "~/_netrc"):
        try:
            if path and netrc.netrc(Path(path).expanduser()).authenticators(server):
                return path
        except (OSError, ValueError, RuntimeError, netrc.NetrcParseError):
            continue
    return ""
