"""Send an answer, rightly or as its `Delivery` says."""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
import struct
from collections.abc import Iterator
from http import HTTPStatus
from typing import Final

import h11

from kie_sandbox.messages import Response

_PIECE: Final = 65536
#: Seconds between two pieces of a slow body, unless a single byte takes longer.
_PAUSE: Final = 0.05


async def send(
    protocol: h11.Connection,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    response: Response,
    *,
    bodiless: bool = False,
) -> bool:
    """Send *response* and return whether the connection is still in order; ``bodiless`` for HEAD."""
    how = response.delivery
    await asyncio.sleep(how.delay)
    if how.raw is not None:
        writer.write(how.raw)
    else:
        await _send_parts(protocol, writer, response, bodiless=bodiless)
    await writer.drain()
    if how.half_close:
        writer.write_eof()
    if how.hold:
        await _until_gone(reader, how.hold)
    if how.end == "reset":
        reset(writer)
    return how.end == "keep"


def reset(writer: asyncio.StreamWriter) -> None:
    """End the connection with RST instead of FIN."""
    with contextlib.suppress(OSError):  # the client was faster
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def _send_parts(
    protocol: h11.Connection, writer: asyncio.StreamWriter, response: Response, *, bodiless: bool
) -> None:
    how = response.delivery
    size = len(response.content) + how.padding
    length = ("Transfer-Encoding", "chunked") if how.chunked else ("Content-Length", str(int(size)))
    headers = [("Content-Type", response.content_type), *response.headers, length]
    head = protocol.send(h11.Response(status_code=response.status, headers=headers, reason=_reason(response.status)))
    assert head is not None
    writer.write(head[: round(len(head) * how.head)])
    left = 0.0 if bodiless else int(size * how.body) if math.isfinite(size) else size
    step = _PIECE if how.rate is None else max(1, int(how.rate * _PAUSE))
    for piece in _pieces(response.content, left, step):
        writer.write(protocol.send(h11.Data(data=piece)) or b"")
        await writer.drain()
        if how.rate is not None:
            await asyncio.sleep(len(piece) / how.rate)
    if how.excess:
        writer.write(b" " * how.excess)
    if how.head == 1.0 and (how.body == 1.0 or bodiless):
        writer.write(protocol.send(h11.EndOfMessage()) or b"")


def _pieces(content: bytes, left: float, step: int) -> Iterator[bytes]:
    """Go through the content and the blanks behind it, *left* bytes in all, without ever holding the blanks."""
    blanks = b" " * step
    at = 0
    while left > 0:
        piece = content[at : at + step] or blanks
        piece = piece[: int(min(left, step))]
        yield piece
        at += len(piece)
        left -= len(piece)


def _reason(status: int) -> bytes:
    with contextlib.suppress(ValueError):
        return HTTPStatus(status).phrase.encode()
    return b"Unknown"


async def _until_gone(reader: asyncio.StreamReader, seconds: float) -> None:
    """Wait until the client hangs up, at the most so long."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds if math.isfinite(seconds) else None):
            while await reader.read(_PIECE):
                pass
