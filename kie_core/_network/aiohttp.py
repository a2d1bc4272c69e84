"""Questions by aiohttp, which costs less where thousands of jobs are waited for. Imported only where it is asked for.

Its errors are put back: the library between calls a connection that broke after the request was sent one that was
never made. No create goes this way all the same.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from typing import Any, Final

import aiohttp
import httpx_aiohttp

from kie_core._network.library import httpx
from kie_core._network.transport import IDLE_SECONDS, PLACES, Context, proxy_for

_LOGIN: Final = "Proxy-Authorization"


class AiohttpTransport(httpx.AsyncBaseTransport):
    """Sends to one host, on as many connections as there are places. Made, TLS included, with the first request."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._inner: httpx_aiohttp.AiohttpTransport | None = None
        self._connector: _Connector | None = None
        #: What a proxy is told of us with each request, where there is no tunnel through it.
        self._login: str | None = None
        self._closed = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self._closed:
            raise RuntimeError("the client is closed")
        if self._inner is None:
            self._inner = self._made(request.url)
        if self._login is not None:
            request.headers[_LOGIN] = self._login
        try:
            response = await self._inner.handle_async_request(request)
        except (httpx.TransportError, aiohttp.ClientError) as error:
            raise _put_back(error) from error
        except asyncio.CancelledError:
            if self._ended_by_closing():
                raise RuntimeError("the client is closed") from None
            raise
        assert isinstance(response.stream, httpx.AsyncByteStream)
        response.stream = _Stream(response.stream)
        return response

    def distrust(self) -> None:
        """Use nothing again that is idle now: on one of these an answer came to a question that was not asked."""
        if self._connector is not None:
            self._connector.doubted = True

    async def aclose(self) -> None:
        self._closed = True
        if self._inner is not None:
            await self._inner.aclose()

    def _ended_by_closing(self) -> bool:
        """Tell whether a cancellation is how the library ends whatever waits for a connection: nobody called it off."""
        task = asyncio.current_task()
        return self._closed and (task is None or not task.cancelling())

    def _made(self, url: httpx.URL) -> httpx_aiohttp.AiohttpTransport:
        try:
            context, address = self._context.get(url.scheme), proxy_for(url.scheme, url.host)
            proxy = None if address is None else httpx.Proxy(address)
        except (OSError, ValueError, httpx.InvalidURL) as error:
            raise httpx.ConnectError(f"no connection can be set up as the environment says: {error}") from error
        if proxy is not None and proxy.url.scheme not in ("http", "https"):
            raise httpx.ConnectError(f"aiohttp knows no {proxy.url.scheme} proxies")
        if proxy is not None and proxy.auth is not None:  # aiohttp warns of what the library between makes of it
            login = f"Basic {base64.b64encode(':'.join(proxy.auth).encode()).decode()}"
            if url.scheme == "http":
                self._login = login
            proxy = httpx.Proxy(proxy.url, headers={_LOGIN: login})

        def session() -> aiohttp.ClientSession:
            self._connector = _Connector(limit=PLACES, keepalive_timeout=IDLE_SECONDS, ssl=context)
            return aiohttp.ClientSession(connector=self._connector, cookie_jar=aiohttp.DummyCookieJar())

        return httpx_aiohttp.AiohttpTransport(verify=context, proxy=proxy, client=session)


class _Connector(aiohttp.TCPConnector):
    """Uses no connection again on which more came than was asked for: the library does not look once it is idle.

    Attributes:
        doubted: None that is idle is to be used.
    """

    doubted = False

    async def _get(self, *asked: Any, **more: Any) -> Any:
        while (kept := await super()._get(*asked, **more)) is not None:
            if not self.doubted and kept.protocol is not None and not kept.protocol.should_close:
                return kept
            kept.close()
        self.doubted = False
        return None


class _Stream(httpx.AsyncByteStream):
    def __init__(self, inner: httpx.AsyncByteStream) -> None:
        self._inner = inner

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._inner:
                yield chunk
        except (httpx.TransportError, aiohttp.ClientError) as error:
            raise _put_back(error) from error

    async def aclose(self) -> None:
        await self._inner.aclose()


#: The connection or the answer ended too early, or it is no HTTP.
_CUT: Final = (aiohttp.ServerDisconnectedError, aiohttp.ClientPayloadError, aiohttp.ClientResponseError)


def _put_back(error: Exception) -> Exception:
    """Return the error that the HTTP library itself raises for what befell aiohttp."""
    cause = error if isinstance(error, aiohttp.ClientError) else error.__cause__
    if isinstance(cause, (aiohttp.ServerTimeoutError, aiohttp.ClientProxyConnectionError)):
        return error
    if isinstance(cause, aiohttp.ClientConnectorError):  # nothing was sent
        return httpx.ConnectError(str(cause))
    if isinstance(cause, _CUT):
        return httpx.RemoteProtocolError(str(cause))
    if isinstance(cause, aiohttp.ClientConnectionError):  # from here on it may have been received
        return httpx.ReadError(str(cause))
    return error
