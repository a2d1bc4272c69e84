"""A small HTTP server around the sandbox: asyncio and h11, so that later it can also send what no framework would."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any, Final

import h11

from kie_sandbox.world import Request, Response, Sandbox

#: Bytes of one request at the most.
LARGEST_REQUEST: Final = 16 * 1024 * 1024


async def start(sandbox: Sandbox, *, host: str = "127.0.0.1", port: int = 0) -> asyncio.Server:
    """Start a server in the running loop; port 0: any free one."""

    async def serve_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(ConnectionError, h11.ProtocolError):
                await _connection(sandbox, reader, writer)
        except asyncio.CancelledError:
            writer.transport.abort()  # the server stops; Python 3.11 would log a cancelled handler as an error
        finally:
            writer.close()

    return await asyncio.start_server(serve_connection, host, port)


def port_of(server: asyncio.Server) -> int:
    """Return the port that *server* listens on."""
    number: int = server.sockets[0].getsockname()[1]
    return number


@contextlib.contextmanager
def serve(*, sandbox: Sandbox | None = None, host: str = "127.0.0.1", port: int = 0, **arguments: Any) -> Iterator[str]:
    """Serve a sandbox from a thread and yield its base URL.

    Args:
        sandbox: The one to serve; None: a new one.
        host: Where to listen.
        port: Where to listen; 0: any free one.
        **arguments: For the new `Sandbox`: ``speed=50``, ``credits=100``, ``models=rows``.
    """
    world = sandbox if sandbox is not None else Sandbox(**arguments)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="kie-sandbox", daemon=True)
    thread.start()
    try:
        server = asyncio.run_coroutine_threadsafe(start(world, host=host, port=port), loop).result()
        try:
            yield f"http://{host}:{port_of(server)}"
        finally:
            asyncio.run_coroutine_threadsafe(_stopped(server), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _stopped(server: asyncio.Server) -> None:
    server.close()
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await asyncio.sleep(0)  # closed transports let go of their sockets in the next round
    await asyncio.sleep(0)


async def _connection(sandbox: Sandbox, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    protocol = h11.Connection(h11.SERVER)
    while True:
        request = await _request(protocol, reader)
        if request is None:
            return
        _write(protocol, writer, sandbox.handle(request))
        await writer.drain()
        if protocol.our_state is not h11.DONE or protocol.their_state is not h11.DONE:
            return
        protocol.start_next_cycle()


async def _request(protocol: h11.Connection, reader: asyncio.StreamReader) -> Request | None:
    head: h11.Request | None = None
    content = bytearray()
    while True:
        event = protocol.next_event()
        if event is h11.NEED_DATA:
            protocol.receive_data(await reader.read(65536))
        elif isinstance(event, h11.Request):
            head = event
        elif isinstance(event, h11.Data):
            content += event.data
            if len(content) > LARGEST_REQUEST:
                return None
        elif isinstance(event, h11.EndOfMessage) and head is not None:
            headers: Mapping[str, str] = {
                name.decode("latin-1"): value.decode("latin-1") for name, value in head.headers
            }
            return Request(head.method.decode(), head.target.decode("latin-1"), headers, bytes(content))
        else:  # the peer closed, or asked for something that is not HTTP/1.1
            return None


def _write(protocol: h11.Connection, writer: asyncio.StreamWriter, response: Response) -> None:
    headers = [("Content-Type", response.content_type), ("Content-Length", str(len(response.content)))]
    reason = HTTPStatus(response.status).phrase.encode()
    for event in (
        h11.Response(status_code=response.status, headers=headers, reason=reason),
        h11.Data(data=response.content),
        h11.EndOfMessage(),
    ):
        writer.write(protocol.send(event) or b"")
