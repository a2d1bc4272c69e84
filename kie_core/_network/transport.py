"""Connections for questions and creates, each in a place of its own.

Stock connection pools look through all their connections at every request; with 32 requests
in flight that costs more than the request. So each place has a pool of one connection here,
and free ones wait on a stack.
"""

from __future__ import annotations

import asyncio
import math
import ssl
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.request import getproxies, proxy_bypass

from kie_core._errors import ConfigError
from kie_core._network.library import httpx

if TYPE_CHECKING:
    from kie_core._network.aiohttp import AiohttpTransport

#: How many questions are in flight at once.
PLACES: Final = 32
#: Seconds to make a connection, TLS included.
CONNECT_SECONDS: Final = 10.0
#: Seconds for which a connection is kept that nobody uses.
IDLE_SECONDS: Final = 30.0
#: Characters of an error that are told.
_LONGEST_REASON: Final = 200


def for_questions(library: str, context: Context) -> StackTransport | AiohttpTransport:
    """Return what carries questions.

    Raises:
        ConfigError: The library is not installed.
    """
    if library == "httpx":
        return StackTransport(PLACES, context)
    try:
        from kie_core._network.aiohttp import AiohttpTransport
    except ImportError as error:
        missing = f"the package {error.name} is missing; try: pip install 'kie-core[aiohttp]'"
        raise ConfigError((f"http_library = {library!r}: {missing}",)) from error
    return AiohttpTransport(context)


class Context:
    """One TLS context for all https connections of a client, made with the first of them: it is slow to make.

    For the event loop and for worker threads.
    """

    def __init__(self) -> None:
        self._making = threading.Lock()
        self._trusting: ssl.SSLContext | None = None

    def get(self, scheme: str) -> ssl.SSLContext:
        if scheme != "https":
            return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # unused, trusts nobody, costs nothing
        with self._making:
            if self._trusting is None:
                self._trusting = httpx.create_ssl_context()
            return self._trusting


class StackTransport(httpx.AsyncBaseTransport):
    """A fixed number of places, each a transport of one connection; idle ones wait on a stack per origin.

    A connection is used again only after a whole answer, and nothing more: what state any other is in, nobody knows.
    Honours HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY, which a transport given to the library does not.
    """

    def __init__(self, places: int, context: Context, *, keep_alive: bool = True) -> None:
        self._places = asyncio.Semaphore(places)
        self._context = context
        self._idle: dict[tuple[str, str, int | None], list[_Connection]] = {}
        self._limits = httpx.Limits(
            max_connections=1, max_keepalive_connections=int(keep_alive), keepalive_expiry=IDLE_SECONDS
        )
        self._closed = False
        self._doubted = -math.inf

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await self._places.acquire()
        try:
            idle = self._idle_for(request.url)
            while idle and idle[-1].used <= self._doubted:
                await idle.pop().aclose()
            one = idle.pop() if idle else _Connection(self._transport(request.url))
        except BaseException:
            self._places.release()
            raise

        async def give_back(*, whole: bool) -> None:
            try:
                if whole and not self._closed and not one.has_more():
                    one.used = time.monotonic()
                    idle.append(one)
                    if one.used - idle[0].used > IDLE_SECONDS:  # of a burst, long ago: the server has closed it too
                        await idle.pop(0).aclose()
                else:
                    await one.aclose()
            finally:
                self._places.release()

        try:
            response = await one.handle_async_request(request)
        except BaseException:
            await give_back(whole=False)
            raise
        assert isinstance(response.stream, httpx.AsyncByteStream)
        response.stream = _GivingBack(response.stream, give_back)
        return response

    def distrust(self) -> None:
        """Use nothing again that is idle now: on one of these an answer came to a question that was not asked."""
        self._doubted = time.monotonic()

    async def aclose(self) -> None:
        """Close what is idle, now, and what is in use when it is given back."""
        self._closed = True
        closing = [one.aclose() for idle in self._idle.values() for one in idle]
        for idle in self._idle.values():
            idle.clear()
        # All of them, though one fails or whoever closes is called off: nobody comes back to the rest.
        await asyncio.shield(asyncio.gather(*closing, return_exceptions=True))

    def _idle_for(self, url: httpx.URL) -> list[_Connection]:
        if self._closed:
            raise RuntimeError("the client is closed")
        return self._idle.setdefault((url.scheme, url.host, url.port), [])

    def _transport(self, url: httpx.URL) -> httpx.AsyncHTTPTransport:
        try:
            proxy = proxy_for(url.scheme, url.host)
            scheme = "https" if proxy is not None and proxy.startswith("https") else url.scheme
            return httpx.AsyncHTTPTransport(verify=self._context.get(scheme), limits=self._limits, proxy=proxy)
        except (
            OSError,
            ValueError,
            ImportError,
            httpx.InvalidURL,
        ) as error:  # certificates, a proxy's address, SOCKS without its package
            raise httpx.ConnectError(f"no connection can be set up as the environment says: {said(error)}") from error


#: Seconds after which a connection may have been closed by the other side, so that the next request makes another.
_FRESH: Final = 1.0


class _Connection:
    """A transport of one connection, and the stream below it: the library leaves that open if TLS is called off."""

    def __init__(self, transport: httpx.AsyncHTTPTransport) -> None:
        self._transport = transport
        self._stream: Any = None
        self._spoken_on: Any = None
        self.used = -math.inf

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self._is_remade():  # listening costs a tenth of a question
            request.extensions = {**request.extensions, "trace": self._listening(request.extensions.get("trace"))}
        response = await self._transport.handle_async_request(request)
        self._spoken_on = response.extensions.get("network_stream")
        return response

    def has_more(self) -> bool:
        """Tell whether more has come than the answer: the library would read it as the answer to the next question.

        Of what lies in its own buffers the library tells nobody; what comes later it notices by itself.
        """
        if self._spoken_on is None:  # a mocker's answer
            return False
        # Private names: without one of them less is noticed, and nothing else is lost.
        for kept in getattr(getattr(self._transport, "_pool", None), "connections", ()):
            inner: Any = kept
            while inner is not None:
                parser = getattr(inner, "_h11_state", None)
                if parser is not None and parser.trailing_data[0]:
                    return True
                inner = getattr(inner, "_connection", None)
        tls = self._spoken_on.get_extra_info("ssl_object")
        if tls is None:
            return False
        try:
            tls.read(1)
        except ssl.SSLWantReadError:
            return False
        except (OSError, ValueError):  # it was closed, or broke
            pass
        return True

    def _is_remade(self) -> bool:
        """Tell whether the next request makes a connection: a server may also close at once, and says so or not."""
        is_old = self._stream is None or time.monotonic() - self.used > _FRESH
        return is_old or bool(self._stream.get_extra_info("is_readable"))

    def _listening(self, other: Any) -> Callable[[str, Mapping[str, Any]], Awaitable[None]]:
        async def listen(event: str, info: Mapping[str, Any]) -> None:
            if event.endswith("connect_tcp.complete"):
                self._stream = info["return_value"]
            if other is not None:
                await other(event, info)

        return listen

    async def aclose(self) -> None:
        try:
            await self._transport.aclose()
        finally:
            if self._stream is not None:
                await self._stream.aclose()


class _GivingBack(httpx.AsyncByteStream):
    """A response body that gives its connection back once, when it is closed."""

    def __init__(self, inner: httpx.AsyncByteStream, give_back: Callable[..., Awaitable[None]]) -> None:
        self._inner = inner
        self._give_back: Callable[..., Awaitable[None]] | None = give_back
        self._whole = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._inner:
            yield chunk
        self._whole = True

    async def aclose(self) -> None:
        give_back, self._give_back = self._give_back, None
        if give_back is None:
            return
        whole, self._whole = self._whole, False
        try:
            await self._inner.aclose()
        except BaseException:
            whole = False
            raise
        finally:
            await give_back(whole=whole)


def proxy_for(scheme: str, host: str) -> str | None:
    """Return the proxy that the environment wants for *host*, or None.

    Raises:
        OSError: Its address cannot be used; the message shows nothing of it, since there may be a password.
    """
    if host in ("localhost", "127.0.0.1", "::1"):
        return None
    proxies = getproxies()
    proxy = proxies.get(scheme) or proxies.get("all")
    if not proxy or proxy_bypass(host):
        return None
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    try:
        httpx.Proxy(proxy)
    except (ValueError, httpx.InvalidURL):
        problem = "no proxy can be used as the environment says: its address is no URL of http, https or socks5"
        raise OSError(f"{problem} (in a password / # ? and @ are written %2F %23 %3F and %40)") from None
    return proxy


def said(error: BaseException) -> str:
    """Return the name of an error, and what it says."""
    text = str(error)  # of aiohttp's there may be all that the other side sent
    text = text if len(text) <= _LONGEST_REASON else f"{text[:_LONGEST_REASON]}..."
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
