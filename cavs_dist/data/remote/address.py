"""Where shards lie on a server, and whether that server may be asked."""

import re
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from cavs_dist.data.remote.config import RemoteConfig
from cavs_dist.errors import InputError

PORTS = {"http": 80, "https": 443}
SCHEMES = (*PORTS, "s3")
EXPECTED = "https://HOST/FOLDER or s3://BUCKET/FOLDER"


@dataclass(frozen=True)
class Address:
    """A folder or a file on a server that `rules` allow. host: with its port if need be; the bucket, for S3.

    path: below the host, without slashes at its ends. As text it is a URL without any secret.
    """

    scheme: str
    host: str
    path: str
    rules: RemoteConfig = field(repr=False)

    def __str__(self) -> str:
        return f"{self.scheme}://{self.host}/{self.path}"

    def __truediv__(self, name: str) -> "Address":
        return replace(self, path=f"{self.path}/{name}".lstrip("/"))

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]

    @property
    def parent(self) -> "Address":
        """The folder that it lies in."""
        return replace(self, path=self.path.rpartition("/")[0])


def is_address(text: str) -> bool:
    """Tell whether `text` looks like the address of something on a server."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text) is not None


def parse_address(text: str, rules: RemoteConfig) -> Address:
    """Read an address; InputError unless it is plain, and on a server that `rules` list."""
    try:
        parts = urlsplit(text)
        host = parts.netloc if parts.scheme == "s3" else host_of(parts.scheme, parts.hostname, parts.port)
    except ValueError:
        raise InputError(f"an address cannot be read: expected {EXPECTED}") from None
    path = parts.path.strip("/")
    stray = not text.isprintable() or "\\" in text or set(path.split("/")) & {".", ".."}
    if "@" in parts.netloc or "?" in text or "#" in text or stray:
        raise InputError(
            "an address (not shown: it may hold a secret) has a user, a query, a fragment, dots or a stray character: "
            f"expected {EXPECTED} alone; credentials for S3 come from the environment"
        )
    refuse_unlisted(parts.scheme, host, rules)
    return Address(parts.scheme, host, path, rules)


def host_of(scheme: str, name: str | None, port: int | None) -> str:
    """Return a host as `data.remote.hosts` lists it: in small letters, with its port unless that is the scheme's."""
    shown = f"[{name}]" if name and ":" in name else name or ""
    return shown.lower() if port in (None, PORTS.get(scheme)) else f"{shown.lower()}:{port}"


def refuse_unlisted(scheme: str, host: str, rules: RemoteConfig) -> None:
    """Raise InputError unless `rules` list the scheme and the host (for S3: the bucket)."""
    allowed = [known for known in rules.schemes if known in SCHEMES]
    if scheme not in allowed:
        raise InputError(
            f"{scheme}:// may not be read: expected a folder, or an address of {', '.join(allowed) or 'no scheme'} "
            "(data.remote.schemes)"
        )
    listed, key = (rules.buckets, "buckets") if scheme == "s3" else (rules.hosts, "hosts")
    if host not in listed:
        found = ", ".join(listed) or "none"
        raise InputError(
            f"{host[:100]!r} may not be read: data.remote.{key} lists {found}; add it there if you trust it"
        )
