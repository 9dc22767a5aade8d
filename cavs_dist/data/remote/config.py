"""The section `data.remote`."""

from dataclasses import dataclass


@dataclass(frozen=True)
class RemoteConfig:
    """The section `data.remote`: which servers may be asked where `data.path` is an address, and how patiently.

    schemes: that may be used; https, s3, and http where it is listed. hosts: that may be asked over https and http, by
    redirects too: a name, with `:port` where that is not the scheme's own. buckets: of S3 that may be read; credentials
    and endpoint are what the environment says. cache: the folder for what was read, on a disk of the node's own; empty
    is `cavs_dist-<user>` below TMPDIR. cache_bytes: that it holds at most, for all processes of the node together.
    attempts: at one request. backoff: seconds before the second attempt, doubled for each further one. failures: of
    attempts in one process, after which the run ends. connect, read, request: seconds that an attempt may take until it
    is connected, between two parts of the answer, and as a whole.
    """

    schemes: tuple[str, ...] = ("https", "s3")
    hosts: tuple[str, ...] = ()
    buckets: tuple[str, ...] = ()
    cache: str = ""
    cache_bytes: int = 8 << 30
    attempts: int = 5
    backoff: float = 0.5
    failures: int = 100
    connect: float = 10.0
    read: float = 20.0
    request: float = 60.0
