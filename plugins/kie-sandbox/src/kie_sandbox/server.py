"""A small HTTP server around the sandbox: asyncio and h11, so that it can also send what no framework would.

Besides the fake Kie it serves `kie_sandbox.control` to this machine, and posts callbacks to this machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from typing import Any, Final

import h11

from kie_sandbox import control, uploads
from kie_sandbox.messages import Request
from kie_sandbox.posting import WAITS, post
from kie_sandbox.sending import reset, send
from kie_sandbox.world import Sandbox

#: Bytes of one request at the most, unless it is an upload.
LARGEST_REQUEST: Final = 16 * 1024 * 1024
#: Seconds between two looks at the callbacks that are to come: the sandbox may have a clock of its own.
_TICK: Final = 0.02
_running: Final[set[asyncio.Task[None]]] = set()


async def start(sandbox: Sandbox, *, host: str = "127.0.0.1", port: int = 0) -> asyncio.Server:
    """Start a server in the running loop; port 0: any free one."""
    bought = asyncio.Event()

    async def serve_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(ConnectionError, h11.ProtocolError):
                await _connection(sandbox, reader, writer, bought)
        except asyncio.CancelledError:
            writer.transport.abort()  # the server stops; Python 3.11 would log a cancelled handler as an error
        finally:
            writer.close()

    server = await asyncio.start_server(serve_connection, host, port)
    posting = asyncio.create_task(_post_callbacks(sandbox, server, bought))
    _running.add(posting)
    posting.add_done_callback(_running.discard)
    return server


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
        **arguments: For the new `Sandbox`: ``speed=50``, ``credits=100``, ``models=rows``,
            ``faults=["create-reset*1"]``, ``webhook_key="secret"``.

    Raises:
        TypeError: Arguments for a new one are given beside *sandbox*, which would not heed them.
    """
    if sandbox is not None and arguments:
        raise TypeError(f"{', '.join(arguments)} would not count: give a sandbox, or arguments for a new one")
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


async def _post_callbacks(sandbox: Sandbox, server: asyncio.Server, bought: asyncio.Event) -> None:
    waits = [wait / sandbox.speed for wait in WAITS]
    async with asyncio.TaskGroup() as posts:
        while server.is_serving():
            bought.clear()
            for callback in sandbox.due_callbacks():
                posts.create_task(post(callback, sandbox.note_sent, waits))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0 if sandbox.next_callback_at is None else _TICK):
                    await bought.wait()


async def _connection(
    sandbox: Sandbox, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, bought: asyncio.Event
) -> None:
    greeting = sandbox.greet()
    if greeting is not None:
        if greeting.end == "reset":
            reset(writer)
        return
    peer = writer.get_extra_info("peername")
    near = bool(peer) and ip_address(peer[0]).is_loopback
    protocol = h11.Connection(h11.SERVER)
    while True:
        request = await _request(protocol, reader)
        if request is None:
            return
        if near and request.target.startswith(control.PREFIX):
            response = control.answer(sandbox, request)
        else:
            response = sandbox.handle(request)
            bought.set()
        if not await send(protocol, reader, writer, response, bodiless=request.method == "HEAD"):
            return
        if protocol.our_state is not h11.DONE or protocol.their_state is not h11.DONE:
            return
        protocol.start_next_cycle()


async def _request(protocol: h11.Connection, reader: asyncio.StreamReader) -> Request | None:
    head: h11.Request | None = None
    content = bytearray()
    most = LARGEST_REQUEST
    while True:
        event = protocol.next_event()
        if event is h11.NEED_DATA:
            protocol.receive_data(await reader.read(65536))
        elif isinstance(event, h11.Request):
            head = event
            is_upload = event.target.decode("latin-1").partition("?")[0] in uploads.PATHS
            most = uploads.LARGEST if is_upload else LARGEST_REQUEST
        elif isinstance(event, h11.Data):
            content += event.data
            if len(content) > most:
                return None
        elif isinstance(event, h11.EndOfMessage) and head is not None:
            headers: Mapping[str, str] = {
                name.decode("latin-1"): value.decode("latin-1") for name, value in head.headers
            }
            return Request(head.method.decode(), head.target.decode("latin-1"), headers, bytes(content))
        else:  # the peer closed, or asked for something that is not HTTP/1.1
            return None
