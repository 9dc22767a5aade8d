"""Ranges of files from a server that speaks HTTP, through fsspec's session."""

import asyncio
from urllib.request import getproxies, proxy_bypass

import aiohttp
from fsspec.implementations.http import HTTPFileSystem
from yarl import URL

from cavs_dist.data.remote.address import Address, host_of, refuse_unlisted
from cavs_dist.data.remote.answer import Transient, whole_size
from cavs_dist.data.remote.config import RemoteConfig
from cavs_dist.errors import InputError

MOST_REDIRECTS = 5


class Http:
    """Asks HTTP servers, by the rules. `get` runs in `loop`, a thread of fsspec's."""

    def __init__(self, rules: RemoteConfig) -> None:
        self._rules = rules
        # Raw bytes: a small answer that unpacks to gigabytes is then only wrong.
        session = {"auto_decompress": False, "middlewares": (self._allow,), "timeout": _timeouts(rules)}
        self._filesystem = HTTPFileSystem(skip_instance_cache=True, client_kwargs=session)
        self.loop: asyncio.AbstractEventLoop = self._filesystem.loop

    async def get(self, address: Address, first: int, stop: int) -> tuple[bytes, int]:
        """Return bytes first..stop-1 of a file, or those of them that there are, and its size."""
        session = await self._filesystem.set_session()
        headers = {"Range": f"bytes={first}-{stop - 1}", "Accept-Encoding": "identity"}
        options = {"headers": headers, "max_redirects": MOST_REDIRECTS, "proxy": _proxy(address)}
        try:
            async with session.get(URL(str(address)), **options) as answer:
                size = whole_size(answer.status, answer.headers, first, stop)
                return await answer.read(), size
        except TimeoutError:
            raise Transient("the server does not answer in time") from None
        except aiohttp.TooManyRedirects:
            raise InputError(f"is redirected more than {MOST_REDIRECTS} times: name the last address itself") from None
        except (aiohttp.ClientError, OSError) as error:
            raise Transient(_reason(error)) from None

    async def _allow(self, request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        """Refuse a host that is not listed, before it is asked; redirects come here too."""
        url = request.url
        refuse_unlisted(url.scheme, host_of(url.scheme, url.host, url.port), self._rules)
        return await send(request)


def _timeouts(rules: RemoteConfig) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=rules.request, sock_connect=rules.connect, sock_read=rules.read)


def _proxy(address: Address) -> str | None:
    """Return the environment's proxy for an address. Not aiohttp's `trust_env`, which sends passwords of .netrc too."""
    return None if proxy_bypass(address.host) else getproxies().get(address.scheme)


def _reason(error: Exception) -> str:
    """Say what went wrong without the error's own text: it may hold an address that a redirect signed."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return "the server's certificate is not trusted"
    if isinstance(error, OSError) and error.strerror:
        return f"the server cannot be reached ({error.strerror.partition('[')[0].strip() or type(error).__name__})"
    return f"the connection broke ({type(error).__name__})"
