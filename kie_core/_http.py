"""The network. The only module that names the HTTP library.

Stock connection pools look through all their connections at every request; with 32 requests
in flight that costs more than the request. So each place has a pool of one connection here,
and free ones wait on a stack.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from typing import Any, Final, Self
from urllib.request import getproxies, proxy_bypass

import httpx

from kie_core._answer import Answer
from kie_core._errors import NotSent, ReadFailed
from kie_core._job import Request
from kie_core._secret import Secret, redacted

#: No answer of the API is larger; a larger one is cut off.
LARGEST_ANSWER: Final = 8 * 1024 * 1024
#: How many questions are in flight at once.
PLACES: Final = 32
#: After these, nothing has left this machine.
_BEFORE_SENDING: Final = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.UnsupportedProtocol,
    httpx.ProxyError,
)


#: Seconds to make a connection, TLS included.
CONNECT_SECONDS: Final = 10.0
#: Bytes of a body that the log shows.
_SHOWN: Final = 2000

log = logging.getLogger("kie_core")


class SentWithoutAnswer(Exception):
    """A request left, or may have left, and no whole answer came. Never leaves this package."""

    def __init__(self, reason: str, received: bytes) -> None:
        super().__init__(reason)
        self.received = received


class Http:
    """Sends requests to the API: creates on a connection of their own, questions on shared ones.

    Bound to the event loop in which it is first used.
    """

    def __init__(self, base_url: str, key: Secret | None, *, version: str, transport: Any = None) -> None:
        self._base_url = base_url
        self._key = key
        self._own = transport is None
        self._context = _Context()
        self._transport = transport if transport is not None else StackTransport(PLACES, self._context)
        headers = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": f"kie-core/{version}"}
        if key is not None:
            headers["Authorization"] = f"Bearer {key.reveal()}"
        self._client = httpx.AsyncClient(
            transport=self._transport, headers=headers, timeout=None, follow_redirects=False
        )

    def url(self, request: Request) -> str:
        """Return the whole URL of *request*; a path prefix of the base URL is kept."""
        query = f"?{httpx.QueryParams(dict(request.query))}" if request.query else ""
        return f"{self._base_url}{request.path}{query}"

    async def create(self, request: Request, *, seconds: float) -> Answer:
        """Send a request that costs money, once, on a fresh connection.

        Raises:
            NotSent: Provably nothing left this machine.
            SentWithoutAnswer: Anything else that went wrong.
        """
        wire = _WireTap()
        try:
            async with asyncio.timeout(seconds), self._for_one_create() as client:
                return await self._read(client, request, wire, seconds)
        except Exception as error:  # whatever a transport raises: what does not prove "unsent" is unknown
            reason = f"no answer within {seconds:g} s" if isinstance(error, TimeoutError) else _said(error)
            if self._proves_unsent(wire, error):
                raise NotSent(f"{reason} ({self._base_url})") from None
            if wire.answer is not None:  # it was read to its end; what broke afterwards does not matter
                return wire.answer
            raise SentWithoutAnswer(reason, redacted(bytes(wire.received), self._key)) from None

    def _proves_unsent(self, wire: _WireTap, error: Exception) -> bool:
        if wire.heard:
            return not wire.sending and (self._own or isinstance(error, _BEFORE_SENDING))
        return self._own and isinstance(error, _BEFORE_SENDING)

    @contextlib.asynccontextmanager
    async def _for_one_create(self) -> AsyncIterator[httpx.AsyncClient]:
        if not self._own:
            yield self._client
            return
        once = StackTransport(1, self._context, keep_alive=False)
        async with httpx.AsyncClient(transport=once, headers=self._client.headers, timeout=None) as client:
            yield client

    async def ask(self, request: Request, *, seconds: float) -> Answer:
        """Send a request that is free.

        Raises:
            ReadFailed: No answer came.
        """
        try:
            async with asyncio.timeout(seconds):
                return await self._read(self._client, request, _WireTap(), seconds)
        except TimeoutError:
            raise ReadFailed(f"no answer within {seconds:g} s") from None
        except Exception as error:  # a caller's transport may raise anything
            raise ReadFailed(f"{_said(error)} ({self._base_url})") from None

    async def close(self) -> None:
        """Close all connections; a caller's transport stays open."""
        if self._own:
            await self._client.aclose()

    async def _read(self, client: httpx.AsyncClient, request: Request, wire: _WireTap, seconds: float) -> Answer:
        headers = {"Content-Type": "application/json"} if request.content is not None else {}
        log.debug("%s %s %s %r", request.method, request.path, dict(request.query), (request.content or b"")[:_SHOWN])
        # The library closes a half-made connection after a time-out of its own, not after ours: so its comes first.
        timeout = httpx.Timeout(None, connect=min(CONNECT_SECONDS, seconds / 2))
        async with client.stream(
            request.method,
            self.url(request),
            content=request.content,
            headers=headers,
            timeout=timeout,
            extensions={"trace": wire},
        ) as response:
            content = redacted(await _content(response, wire.received), self._key)
            wire.answer = Answer(response.status_code, content)
            log.debug(
                "%s %s answered HTTP %d: %r", request.method, request.path, response.status_code, content[:_SHOWN]
            )
            return wire.answer


class _WireTap:
    """Listens to the transport: did the first byte of the request go out? And keeps what came back, however little."""

    def __init__(self) -> None:
        self.heard = False
        self.sending = False
        self.received = bytearray()
        self.answer: Answer | None = None

    async def __call__(self, event: str, info: Mapping[str, Any]) -> None:
        self.heard = True
        # A proxy is asked for a tunnel first: that request is not ours.
        tunnel = getattr(info.get("request"), "method", b"") == b"CONNECT"
        if "send_request_headers.started" in event and not tunnel:
            self.sending = True


class _TooLarge(Exception):
    """The answer has more bytes than we read."""


async def _content(response: httpx.Response, raw: bytearray) -> bytes:
    if response.is_stream_consumed:  # a caller's transport, such as a mock, may hand out a finished answer
        return response.content
    async for chunk in response.aiter_raw():
        raw += chunk
        if len(raw) > LARGEST_ANSWER:
            raise _TooLarge(f"the answer is larger than {LARGEST_ANSWER} bytes")
    return _decoded(bytes(raw), response.headers.get("Content-Encoding", ""))


def _decoded(raw: bytes, encoding: str) -> bytes:
    if encoding.strip().lower() not in _PACKED:
        return raw
    inflater = zlib.decompressobj(wbits=47)
    content = inflater.decompress(raw, LARGEST_ANSWER)
    if inflater.unconsumed_tail:
        raise _TooLarge(f"the answer unpacks to more than {LARGEST_ANSWER} bytes")
    if not inflater.eof:
        raise zlib.error("the packed answer was cut")
    return content


#: The ways of packing that we read, though we ask for none.
_PACKED: Final = ("gzip", "x-gzip", "deflate")


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


class _Context:
    """One TLS context for all https connections of a client, made with the first of them: it is slow to make."""

    def __init__(self) -> None:
        self._trusting: ssl.SSLContext | None = None

    def get(self, scheme: str) -> ssl.SSLContext:
        if scheme != "https":
            return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # unused, trusts nobody, costs nothing
        if self._trusting is None:
            self._trusting = httpx.create_ssl_context()
        return self._trusting


class StackTransport(httpx.AsyncBaseTransport):
    """A fixed number of places, each a transport of one connection; idle ones wait on a stack per origin.

    Honours HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY, which a transport given to the library does not.
    """

    def __init__(self, places: int, context: _Context, *, keep_alive: bool = True) -> None:
        self._places = asyncio.Semaphore(places)
        self._context = context
        self._idle: dict[tuple[str, str, int | None], list[httpx.AsyncHTTPTransport]] = {}
        self._limits = httpx.Limits(max_connections=1, max_keepalive_connections=int(keep_alive), keepalive_expiry=30.0)
        self._closed = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await self._places.acquire()
        try:
            idle = self._idle.setdefault((request.url.scheme, request.url.host, request.url.port), [])
            one = idle.pop() if idle else self._connect(request.url)
        except BaseException:
            self._places.release()
            raise

        async def release(*, reuse: bool = True) -> None:
            self._places.release()
            if reuse and not self._closed:
                idle.append(one)
            else:
                await one.aclose()

        try:
            response = await one.handle_async_request(request)
        except BaseException:  # what state a cancelled connection is in, nobody knows: never use it again
            await release(reuse=False)
            raise
        assert isinstance(response.stream, httpx.AsyncByteStream)
        response.stream = _ReleasingStream(response.stream, release)
        return response

    async def aclose(self) -> None:
        self._closed = True
        for idle in self._idle.values():
            for one in idle:
                await one.aclose()
        self._idle.clear()

    def _connect(self, url: httpx.URL) -> httpx.AsyncHTTPTransport:
        try:
            proxy = proxy_for(url.scheme, url.host)
            scheme = "https" if proxy is not None and proxy.startswith("https") else url.scheme
            return httpx.AsyncHTTPTransport(verify=self._context.get(scheme), limits=self._limits, proxy=proxy)
        except (
            OSError,
            ValueError,
            ImportError,
        ) as error:  # certificates, a proxy's address, SOCKS without its package
            raise httpx.ConnectError(f"no connection can be set up as the environment says: {_said(error)}") from error


class _ReleasingStream(httpx.AsyncByteStream):
    """A response body that gives its place back once, when it is closed."""

    def __init__(self, inner: httpx.AsyncByteStream, release: Callable[[], Awaitable[None]]) -> None:
        self._inner = inner
        self._release: Callable[[], Awaitable[None]] | None = release

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._inner.__aiter__()

    async def aclose(self) -> None:
        try:
            await self._inner.aclose()
        finally:
            release, self._release = self._release, None
            if release is not None:
                await release()


def proxy_for(scheme: str, host: str) -> str | None:
    """Return the proxy that the environment wants for *host*, or None."""
    if host in ("localhost", "127.0.0.1", "::1"):
        return None
    proxies = getproxies()
    proxy = proxies.get(scheme) or proxies.get("all")
    if not proxy or proxy_bypass(host):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def place_of(url: str) -> tuple[str, str, int | None, bool]:
    """Return scheme, host, port and whether a user is named: of what the library would connect to, not of the text.

    Raises:
        ValueError: It is no URL.
    """
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise ValueError(f"not a URL: {error}") from None
    return parsed.scheme, parsed.raw_host.decode("ascii"), parsed.port, bool(parsed.userinfo)


# --- files ---------------------------------------------------------------------------


class FileClient:
    """Fetches result files, blocking, for worker threads. Never carries the key. Use it in a ``with`` block."""

    def __init__(self, *, version: str, seconds: float) -> None:
        self._headers = {"Accept-Encoding": "identity", "User-Agent": f"kie-core/{version}"}
        self._timeout = httpx.Timeout(seconds, connect=CONNECT_SECONDS)
        self._context = _Context()
        self._clients: dict[tuple[str, str | None], httpx.Client] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for client in self._clients.values():
            client.close()

    @contextlib.contextmanager
    def open(self, url: str) -> Iterator[tuple[int, Mapping[str, str], Iterator[bytes]]]:
        """Open *url*; yields the status, the headers and the body as it comes. Follows no redirect.

        Raises:
            ReadFailed: The connection failed, at any point.
        """
        try:
            with self._client_for(url).stream("GET", url) as response:
                encoding = response.headers.get("content-encoding", "").strip().lower()
                chunks = response.iter_raw()
                yield response.status_code, response.headers, _unpacked(chunks) if encoding in _PACKED else chunks
        except (httpx.HTTPError, httpx.InvalidURL, zlib.error) as error:
            raise ReadFailed(_said(error)) from None

    def _client_for(self, url: str) -> httpx.Client:
        scheme, host, _, _ = place_of(url)
        proxy = proxy_for(scheme, host)
        if (scheme, proxy) not in self._clients:
            try:
                self._clients[scheme, proxy] = httpx.Client(
                    headers=self._headers,
                    timeout=self._timeout,
                    follow_redirects=False,
                    trust_env=False,
                    proxy=proxy,
                    verify=self._context.get(scheme),
                )
            except (OSError, ValueError, ImportError, httpx.InvalidURL) as error:
                raise ReadFailed(f"no connection can be set up as the environment says: {_said(error)}") from error
        return self._clients[scheme, proxy]


def _unpacked(chunks: Iterator[bytes]) -> Iterator[bytes]:
    inflater = zlib.decompressobj(wbits=47)
    for chunk in chunks:
        yield inflater.decompress(chunk)
    if not inflater.eof:
        raise zlib.error("the packed file was cut")
