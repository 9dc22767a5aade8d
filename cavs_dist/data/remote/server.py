"""Ask a server for bytes, again where that may help, until this process's patience is spent."""

import asyncio
import random
import sys
import time
from typing import Protocol

from cavs_dist.data.remote.address import Address
from cavs_dist.data.remote.answer import Transient
from cavs_dist.data.remote.config import RemoteConfig
from cavs_dist.errors import InputError

LONGEST_PAUSE = 30.0
# Nothing that a seed decides may depend on how often a server failed.
_jitter = random.SystemRandom()


class Backend(Protocol):
    """What `Http` and `S3` are alike in."""

    loop: asyncio.AbstractEventLoop

    async def get(self, address: Address, first: int, stop: int) -> tuple[bytes, int]:
        """Return bytes first..stop-1 of a file, or those of them that there are, and its size."""


class Server:
    """Whatever servers the rules allow. For one process: what lies beneath does not outlive a fork."""

    def __init__(self, rules: RemoteConfig) -> None:
        self._rules = rules
        self._failures = 0
        self._open: dict[str, Backend] = {}

    def get(self, address: Address, first: int, stop: int) -> tuple[bytes, int]:
        """Return bytes first..stop-1 of a file, or those of them that there are, and the size of the file.

        Gone if it has none of them or is not there. InputError if the server stays silent, or may not be asked.
        """
        failure = Transient("it was never asked")
        for attempt in range(self._rules.attempts):
            time.sleep(self._pause(attempt, failure.wait))
            try:
                return self._ask(address, first, stop)
            except InputError as error:
                raise InputError(f"{address}: {error}") from None
            except Transient as error:
                failure = error
                self._count(address, failure)
        raise InputError(
            f"{address} cannot be read: {failure.reason}, {self._rules.attempts} times over "
            "(data.remote.attempts); run the same command again when the server is well"
        )

    def _ask(self, address: Address, first: int, stop: int) -> tuple[bytes, int]:
        if address.scheme not in self._open:
            self._open[address.scheme] = _backend(address.scheme, self._rules)
        from fsspec.asyn import sync  # here, since shards on a disk do without fsspec

        backend = self._open[address.scheme]
        answer: tuple[bytes, int] = sync(backend.loop, backend.get, address, first, stop)
        return answer

    def _pause(self, attempt: int, asked: float) -> float:
        """Return how long to wait before an attempt: longer each time, never in step with others, as long as asked."""
        if not attempt:
            return 0.0
        longest = min(self._rules.backoff * 2 ** (attempt - 1), LONGEST_PAUSE)
        return asked + longest * _jitter.uniform(0.5, 1.0)

    def _count(self, address: Address, failure: Transient) -> None:
        self._failures += 1
        if self._failures == 1:
            print(f"warning: {address}: {failure.reason}; asking again, and not told of again", file=sys.stderr)
        if self._failures >= self._rules.failures:
            raise InputError(
                f"{self._failures} requests failed in this process, all that data.remote.failures allows, the last for "
                f"{address}: {failure.reason}; run the same command again when the server is well"
            )


def _backend(scheme: str, rules: RemoteConfig) -> Backend:
    try:
        if scheme == "s3":
            from cavs_dist.data.remote.s3 import S3

            return S3(rules)
        from cavs_dist.data.remote.http import Http

        return Http(rules)
    except ImportError as error:
        raise InputError(
            f"the package {error.name} is missing: run `pip install 'cavs_dist[remote]'`, or copy the shards"
        ) from None
