"""Ranges of objects from S3, or from what speaks like it, through s3fs; credentials are the environment's."""

import asyncio
from collections.abc import Mapping
from typing import Any

import aiohttp
from aiobotocore.httpsession import AIOHTTPSession
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, NoCredentialsError
from s3fs import S3FileSystem

from cavs_dist.data.remote.address import Address
from cavs_dist.data.remote.answer import Transient, whole_size
from cavs_dist.data.remote.config import RemoteConfig
from cavs_dist.errors import InputError


class S3:
    """Asks S3 by the rules. `get` runs in `loop`, a thread of fsspec's."""

    def __init__(self, rules: RemoteConfig) -> None:
        self._seconds = rules.request
        # Whoever calls asks again: attempts are counted there, once.
        settings = {
            "connect_timeout": rules.connect,
            "read_timeout": rules.read,
            "retries": {"total_max_attempts": 1},
            "http_session_cls": _Direct,
        }
        self._filesystem = S3FileSystem(skip_instance_cache=True, config_kwargs=settings)
        self._filesystem.retries = 1
        self.loop: asyncio.AbstractEventLoop = self._filesystem.loop

    async def get(self, address: Address, first: int, stop: int) -> tuple[bytes, int]:
        """Return bytes first..stop-1 of an object, or those of them that there are, and its size."""
        try:
            await self._filesystem.set_session()  # seconds, once: it reads long descriptions of S3
            async with asyncio.timeout(self._seconds):
                return await self._get(address, first, stop)
        except TimeoutError:
            raise Transient("the server does not answer in time") from None
        except NoCredentialsError:
            raise InputError(
                "needs credentials: set AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment; "
                "a public bucket has an https address too"
            ) from None
        except (BotoCoreError, aiohttp.ClientError, OSError) as error:
            raise _failure(error, first, stop) from None

    async def _get(self, address: Address, first: int, stop: int) -> tuple[bytes, int]:
        wanted = {"Bucket": address.host, "Key": address.path, "Range": f"bytes={first}-{stop - 1}"}
        reply = await self._filesystem._call_s3("get_object", **wanted)
        async with reply["Body"] as body:
            size = whole_size(*_head(reply), first, stop)
            return await body.read(), size


class _Direct(AIOHTTPSession):  # type: ignore[misc]
    """Botocore's session, which would follow a redirect to any host; it finds a bucket's region without."""

    async def _get_session(self, proxy_url: str | None) -> aiohttp.ClientSession:
        session: aiohttp.ClientSession = await super()._get_session(proxy_url)
        if not session.trace_configs:
            follow = aiohttp.TraceConfig()
            follow.on_request_redirect.append(_refuse_redirect)
            follow.freeze()
            session.trace_configs.append(follow)
        return session


async def _refuse_redirect(*event: object) -> None:
    raise InputError("is redirected, which S3 has no need to: mend AWS_ENDPOINT_URL, or use the https address")


def _failure(error: Exception, first: int, stop: int) -> Exception:
    """Tell what an error of s3fs means: it wraps botocore's, which holds the answer, if there was one."""
    if isinstance(error, HTTPClientError) and isinstance(error.kwargs.get("error"), InputError):
        return InputError(*error.kwargs["error"].args)
    answer = error.__cause__
    if not isinstance(answer, ClientError):
        return Transient(f"the connection broke ({type(error).__name__})")
    try:
        whole_size(*_head(answer.response), first, stop)
    except Exception as failure:
        return failure
    return Transient("the answer cannot be understood")


def _head(reply: Mapping[str, Any]) -> tuple[int, dict[str, str]]:
    """Return an answer's status and headers, these as HTTP spells them."""
    told = reply["ResponseMetadata"]
    return told["HTTPStatusCode"], {name.title(): value for name, value in told["HTTPHeaders"].items()}
