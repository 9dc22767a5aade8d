"""The network: does this machine know its own name, and do the interfaces exist that a run is told to use?"""

import os
import socket

from cavs_dist.doctor.finding import Finding


def host_name(nodes: int) -> Finding:
    """Check that this machine's name has an address, which on several `nodes` must not be its own loopback."""
    name = socket.gethostname()
    try:
        address = socket.gethostbyname(name)
    except OSError as error:
        return Finding("failed", f"{name} has no address ({error.strerror})", "name it in DNS or in /etc/hosts")
    found = f"{name} is {address}"
    if nodes > 1 and address.startswith("127."):
        return Finding("failed", f"{found}, where no other node reaches it", "give its address in DNS or /etc/hosts")
    return Finding("ok", found)


def interfaces() -> Finding:
    """Check the interfaces that NCCL_SOCKET_IFNAME and GLOO_SOCKET_IFNAME name, and that a port can be opened."""
    there = [name for _, name in socket.if_nameindex()]
    nccl, gloo = os.environ.get("NCCL_SOCKET_IFNAME", ""), os.environ.get("GLOO_SOCKET_IFNAME", "")
    asked = ", ".join(f"{name}={value}" for name, value in (("NCCL", nccl), ("GLOO", gloo)) if value)
    found = f"{', '.join(there)}" + (f"; {asked} (_SOCKET_IFNAME)" if asked else "")
    if nccl and not chosen(nccl, there):
        return Finding("failed", found, f"set NCCL_SOCKET_IFNAME to one of {', '.join(there)}, or unset it")
    if gloo and not set(gloo.split(",")) <= set(there):
        return Finding("failed", found, f"set GLOO_SOCKET_IFNAME to one of {', '.join(there)}, or unset it")
    try:
        with socket.create_server(("", 0)) as server:
            port = server.getsockname()[1]
            with socket.create_connection(("127.0.0.1", port), timeout=5):
                pass
    except OSError as error:
        return Finding(
            "failed", f"{found}; no port can be opened ({error.strerror})", "ask for the limits of this node"
        )
    return Finding("ok", found)


def chosen(wanted: str, there: list[str]) -> list[str]:
    """Return the interfaces that NCCL takes: prefixes, exact names after `=`, all others after `^`."""
    exact, other = wanted.startswith(("=", "^=")), wanted.startswith("^")
    names = wanted.lstrip("^=").split(",")
    matches = [name for name in there if any(name == one if exact else name.startswith(one) for one in names)]
    return [name for name in there if name not in matches] if other else matches
