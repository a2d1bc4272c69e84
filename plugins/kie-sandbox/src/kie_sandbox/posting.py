"""Send a callback over a plain socket: to this machine, and never to another."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Final
from urllib.parse import urlsplit

import h11

from kie_sandbox.callbacks import Callback

#: Seconds that a receiver has for its answer. Source: the callback pages of docs.kie.ai.
PATIENCE: Final = 15.0
#: Seconds before the second and the third try. UNVERIFIED: one page says "growing"; none says how long.
WAITS: Final = (5.0, 25.0)
LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")
_BLANKS: Final = b" " * 65536


def address_of(url: str) -> tuple[str, int] | None:
    """Return where *url* is, if that is plain HTTP on this machine; None: nothing is ever sent there."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if parts.scheme != "http" or host not in LOOPBACK or host is None:
        return None
    return "127.0.0.1" if host == "localhost" else host, 80 if port is None else port


async def post(
    callback: Callback, tell: Callable[[Callback, int | None], object], waits: Sequence[float] = WAITS
) -> None:
    """Send *callback* until it is answered with 200, at the most three times.

    Args:
        callback: One whose address is elsewhere is not sent; *tell* hears of it once, with None.
        tell: Called after each try with the HTTP status; None: there was no answer.
        waits: Seconds before each further try.
    """
    address = address_of(callback.url)
    if address is None:
        tell(callback, None)
        return
    for wait in (0.0, *waits):
        await asyncio.sleep(wait)
        status = await _once(callback, *address)
        tell(callback, status)
        if status == 200:
            return


async def _once(callback: Callback, host: str, port: int) -> int | None:
    try:
        async with asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                return await _exchange(callback, reader, writer)
            finally:
                writer.transport.abort()
    except (OSError, h11.ProtocolError):  # a timeout is an OSError
        return None


async def _exchange(callback: Callback, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int | None:
    protocol = h11.Connection(h11.CLIENT)
    writer.write(protocol.send(_head(callback)) or b"")
    # A receiver may refuse a big body before it has read it all, and then hang up.
    answer = asyncio.ensure_future(_status(protocol, reader))
    try:
        with contextlib.suppress(ConnectionError):
            await _send_body(callback, protocol, writer, answer)
        return await answer
    finally:
        answer.cancel()
        await asyncio.gather(answer, return_exceptions=True)


def _head(callback: Callback) -> h11.Request:
    parts = urlsplit(callback.url)
    size = len(callback.content) + callback.padding
    length = ("Transfer-Encoding", "chunked") if callback.chunked else ("Content-Length", str(size))
    headers = [("Host", parts.netloc.rpartition("@")[2]), *callback.headers, length, ("Connection", "close")]
    target = f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}"
    return h11.Request(method="POST", target=target, headers=headers)


async def _send_body(
    callback: Callback, protocol: h11.Connection, writer: asyncio.StreamWriter, answer: asyncio.Future[int | None]
) -> None:
    writer.write(protocol.send(h11.Data(data=callback.content)) or b"")
    left = callback.padding
    while left > 0 and not answer.done():
        piece = _BLANKS[:left]
        writer.write(protocol.send(h11.Data(data=piece)) or b"")
        await writer.drain()
        left -= len(piece)
    if left <= 0:
        writer.write(protocol.send(h11.EndOfMessage()) or b"")
        await writer.drain()


async def _status(protocol: h11.Connection, reader: asyncio.StreamReader) -> int | None:
    while True:
        event = protocol.next_event()
        if event is h11.NEED_DATA:
            protocol.receive_data(await reader.read(65536))
        elif isinstance(event, h11.Response):
            return event.status_code
        elif not isinstance(event, h11.InformationalResponse):
            return None
