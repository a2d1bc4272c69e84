"""The API: creates, each once, and questions."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import zlib
from collections.abc import AsyncIterator, Callable, Mapping
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from kie_core._errors import NotSent, ReadFailed
from kie_core._jobs.answer import Answer
from kie_core._jobs.callback import without_tokens
from kie_core._jobs.job import Request
from kie_core._network.library import httpx
from kie_core._network.transport import CONNECT_SECONDS, Context, StackTransport, for_questions, said
from kie_core._secret import Secret, redacted

if TYPE_CHECKING:
    from kie_core._network.file_client import FileClient

#: No answer of the API is larger; a larger one is cut off.
LARGEST_ANSWER: Final = 8 * 1024 * 1024
#: After these, nothing has left this machine.
_BEFORE_SENDING: Final = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.UnsupportedProtocol,
    httpx.ProxyError,
)
#: Seconds for which an answer is still read after its time: the process may have been stopped until now.
GRACE_SECONDS: Final = 2.0
#: Seconds for which we let ourselves be held back by one answer.
LONGEST_PAUSE: Final = 600.0
#: Bytes of a body that the log shows.
_SHOWN: Final = 2000

log = logging.getLogger("kie_core")


def hush() -> None:
    """Keep the library's own lines out of the log, unless somebody asked for them: they come before an answer is
    written down, and whatever a handler of the application does with them could lose it.
    """
    for name in (httpx.__name__, httpx.__name__.replace("httpx", "httpcore")):
        logger = logging.getLogger(name)
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.WARNING)


class SentWithoutAnswer(Exception):
    """A request left, or may have left, and no whole answer came. Never leaves this package."""

    def __init__(self, reason: str, received: bytes) -> None:
        super().__init__(reason)
        self.received = received


class Http:
    """Sends requests to the API: creates on a connection of their own, questions on shared ones.

    Bound to the event loop in which it is first used.

    Args:
        base_url: Where the API is.
        key: For the Authorization header.
        version: Ours.
        transport: A caller's, for creates and questions.
        library: Who carries questions where *transport* is None: ``httpx`` or ``aiohttp``. Creates always go by httpx,
            which tells what was sent.

    Attributes:
        context: For all TLS connections of the client that this belongs to.

    Raises:
        ConfigError: The library is not installed.
    """

    def __init__(
        self, base_url: str, key: Secret | None, *, version: str, transport: Any = None, library: str = "httpx"
    ) -> None:
        self._base_url = base_url
        self._key = key
        self._version = version
        self._own = transport is None
        self.context = Context()
        self._files: FileClient | None = None
        hush()
        self._asking = for_questions(library, self.context) if transport is None else None
        headers = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": f"kie-core/{version}"}
        if key is not None:
            headers["Authorization"] = f"Bearer {key.reveal()}"
        self._client = httpx.AsyncClient(
            transport=self._asking or transport, headers=headers, timeout=None, follow_redirects=False
        )

    def url(self, request: Request) -> httpx.URL:
        """Return the whole URL of *request*; a path prefix of the base URL is kept."""
        query = f"?{urlencode(request.query)}" if request.query else ""
        return _parsed(f"{self._base_url}{request.path}{query}")

    async def create(self, request: Request, *, seconds: float, sendable: Callable[[], bool] = lambda: True) -> Answer:
        """Send a request that costs money, once, on a fresh connection.

        Args:
            request: The create.
            seconds: For the whole answer.
            sendable: Is asked once more when the connection stands, right before the first byte.

        Raises:
            NotSent: Provably nothing left this machine.
            SentWithoutAnswer: Anything else that went wrong.
        """
        wire = _WireTap(sendable)
        exchange = asyncio.ensure_future(self._exchanged(request, wire, seconds))
        try:
            return _safe_to_show(await _in_time(exchange, seconds))
        except BaseException as error:  # whatever a transport raises: what does not prove "unsent" is unknown
            if wire.answer is not None:  # it was read to its end; what broke afterwards does not matter
                return _safe_to_show(wire.answer)
            reason = f"no answer within {seconds:g} s" if isinstance(error, TimeoutError) else said(error)
            if isinstance(error, asyncio.CancelledError):
                reason = "the event loop ended before Kie answered"
            elif not isinstance(error, Exception):
                raise
            if self._proves_unsent(wire, error):
                raise NotSent(f"{reason} ({self._base_url})") from None
            received = _legible(bytes(wire.received))
            raise SentWithoutAnswer(reason, without_tokens(redacted(received, self._key))) from None

    async def _exchanged(self, request: Request, wire: _WireTap, seconds: float) -> Answer:
        async with self._for_one_create() as client:
            return await self._read(client, request, wire, seconds)

    def _proves_unsent(self, wire: _WireTap, error: BaseException) -> bool:
        if wire.heard:
            return not wire.sending and (self._own or isinstance(error, _BEFORE_SENDING))
        return self._own and isinstance(error, _BEFORE_SENDING)

    @contextlib.asynccontextmanager
    async def _for_one_create(self) -> AsyncIterator[httpx.AsyncClient]:
        if not self._own:
            yield self._client
            return
        once = StackTransport(1, self.context, keep_alive=False)
        async with httpx.AsyncClient(transport=once, headers=self._client.headers, timeout=None) as client:
            yield client

    async def ask(self, request: Request, *, seconds: float) -> Answer:
        """Send a request that is free.

        Raises:
            ReadFailed: No answer came.
        """
        try:
            async with asyncio.timeout(seconds):
                answer = await self._asked(request, seconds)
                self.tell(request, answer)
                return answer
        except TimeoutError:
            raise ReadFailed(f"no answer within {seconds:g} s") from None
        except Exception as error:  # a caller's transport may raise anything
            raise ReadFailed(f"{said(error)} ({self._base_url})") from None

    def distrust(self) -> None:
        """Ask the next questions on new connections: an answer came that belongs to another one."""
        if self._asking is not None:
            self._asking.distrust()

    def files(self, seconds: float) -> FileClient:
        """Return what fetches files, one for all of them, to be closed with this. Call it in the event loop.

        Args:
            seconds: To wait for the next bytes; the first call says.
        """
        if self._files is None:
            from kie_core._network.file_client import FileClient

            self._files = FileClient(version=self._version, seconds=seconds, api=self._base_url, context=self.context)
        return self._files

    async def close(self) -> None:
        """Close all connections; a caller's transport stays open."""
        if self._files is not None:
            self._files.close()
        if self._own:
            await self._client.aclose()

    async def _asked(self, request: Request, seconds: float) -> Answer:
        # Straight to the transport: what the library's client does above it, redirects, cookies and logins, is what
        # no question wants, and costs as much as the rest. Its transport is asked for because mockers stand there.
        sent = self._prepared(request, seconds)
        response = await self._client._transport_for_url(sent.url).handle_async_request(sent)
        try:
            return await self._answer(response, bytearray())
        finally:
            await response.aclose()

    def _prepared(self, request: Request, seconds: float) -> httpx.Request:
        self._log(request, dict(request.query), request.content or b"")
        headers = self._client.headers
        if request.content is not None:
            headers = httpx.Headers([*headers.raw, (b"Content-Type", b"application/json")])
        # The library closes a half-made connection after a time-out of its own, not after ours: so its comes first.
        timeout = {"connect": min(CONNECT_SECONDS, seconds / 2), "read": None, "write": None, "pool": None}
        return httpx.Request(
            request.method, self.url(request), headers=headers, content=request.content, extensions={"timeout": timeout}
        )

    async def _read(self, client: httpx.AsyncClient, request: Request, wire: _WireTap, seconds: float) -> Answer:
        sent = self._prepared(request, seconds)
        sent.extensions = {**sent.extensions, "trace": wire}
        response = await client.send(sent, stream=True)
        try:
            wire.answer = await self._answer(response, wire.received)
            return wire.answer
        finally:
            await response.aclose()

    async def _answer(self, response: httpx.Response, received: bytearray) -> Answer:
        content = redacted(await _content(response, received), self._key)
        return Answer(response.status_code, content, pause_of(response.headers.get("Retry-After", "")))

    def tell(self, request: Request, answer: Answer) -> None:
        """Log an answer. Logging is foreign code: of a create this is called when the answer is written down."""
        self._log(request, f"answered HTTP {answer.status}:", answer.content)

    def _log(self, request: Request, said: object, content: bytes) -> None:
        if log.isEnabledFor(logging.DEBUG):
            shown = without_tokens(redacted(content, self._key))[:_SHOWN]
            log.debug("%s %s %s %r", request.method, request.path, said, shown)


@lru_cache(maxsize=256)
def _parsed(url: str) -> httpx.URL:
    """Parsing is one of the dearer parts of a question, and the same are asked again and again."""
    return httpx.URL(url)


async def _in_time(exchange: asyncio.Future[Answer], seconds: float) -> Answer:
    """Wait for an answer. When the time is up, look once more: if the loop stood still, the answer may lie there.

    Raises:
        TimeoutError: None came.
    """
    try:
        for patience in (seconds, GRACE_SECONDS):
            done, _ = await asyncio.wait({exchange}, timeout=patience)
            if done:
                return exchange.result()
    finally:
        if not exchange.done():
            exchange.cancel()
            exchange.add_done_callback(_taken_note_of)
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait({exchange})
    raise TimeoutError


def _taken_note_of(exchange: asyncio.Future[Answer]) -> None:
    """Keep asyncio from logging how an exchange ended that was given up: unmasked, and as a fault of ours."""
    if not exchange.cancelled():
        exchange.exception()


def _safe_to_show(answer: Answer) -> Answer:
    """Messages show what a create was answered; questions keep the addresses in their answers, which are proof."""
    return Answer(answer.status, without_tokens(answer.content), answer.retry_after)


class _WireTap:
    """Listens to the transport: did the first byte of the request go out? And keeps what came back, however little."""

    def __init__(self, sendable: Callable[[], bool] = lambda: True) -> None:
        self._sendable = sendable
        self.heard = False
        self.sending = False
        self.received = bytearray()
        self.answer: Answer | None = None

    async def __call__(self, event: str, info: Mapping[str, Any]) -> None:
        self.heard = True
        # A proxy is asked for a tunnel first: that request is not ours.
        tunnel = getattr(info.get("request"), "method", b"") == b"CONNECT"
        if "send_request_headers.started" in event and not tunnel:
            if not self.sending and not self._sendable():
                raise _TooLate("it took too long until it could be sent")
            self.sending = True


class _TooLate(Exception):
    """The moment for a create has passed before its first byte left."""


class TooLarge(Exception):
    """The answer has more bytes than we read."""


async def _content(response: httpx.Response, raw: bytearray) -> bytes:
    if response.is_stream_consumed:  # a caller's transport, such as a mock, may hand out a finished answer
        return response.content
    assert isinstance(response.stream, httpx.AsyncByteStream)
    async for chunk in response.stream:
        raw += chunk
        if len(raw) > LARGEST_ANSWER:
            raise TooLarge(f"the answer is larger than {LARGEST_ANSWER} bytes")
    return decoded(bytes(raw), response.headers.get("Content-Encoding", ""))


def _legible(raw: bytes) -> bytes:
    """Return what can be read of an answer that was cut, packed or not: a task id may stand there."""
    if raw.startswith(b"\x1f\x8b"):
        with contextlib.suppress(zlib.error):
            return zlib.decompressobj(wbits=47).decompress(raw, LARGEST_ANSWER)
    return raw


def decoded(raw: bytes, encoding: str) -> bytes:
    if encoding.strip().lower() not in PACKED:
        return raw
    inflater = zlib.decompressobj(wbits=47)
    content = inflater.decompress(raw, LARGEST_ANSWER)
    if inflater.unconsumed_tail:
        raise TooLarge(f"the answer unpacks to more than {LARGEST_ANSWER} bytes")
    if not inflater.eof:
        raise zlib.error("the packed answer was cut")
    return content


#: The ways of packing that we read, though we ask for none.
PACKED: Final = ("gzip", "x-gzip", "deflate")


def pause_of(text: str) -> float | None:
    """Return the seconds of a Retry-After, which may be a number or a date; None: it says nothing sensible."""
    try:
        seconds = float(text) if text.isascii() else -1.0
    except ValueError:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - time.time()
        except (TypeError, ValueError, OverflowError):
            return None
    return min(seconds, LONGEST_PAUSE) if seconds >= 0 else None
