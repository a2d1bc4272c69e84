"""Questions by aiohttp: its errors are those of the HTTP library, whatever happens after the request was read."""

from __future__ import annotations

import asyncio
import socket
import struct
import subprocess
import sys

import httpx
import httpx_aiohttp
import pytest

from kie_core import ConfigError, Kie, NotSent, ReadFailed
from kie_core._jobs.job import Request
from kie_core._network.aiohttp import AiohttpTransport
from kie_core._network.http import Http, SentWithoutAnswer
from kie_core._network.transport import PLACES, Context
from kie_core._secret import Secret

pytestmark = pytest.mark.anyio
KEY = "0123456789abcdef0123456789abcdef"
CREATE = Request("POST", "/create", content=b'{"a":1}')
ASK = Request("GET", "/ask", {"taskId": "t/1 ü+&="})


def client(url, **arguments):
    return Http(url, Secret(KEY), version="1.0", library="aiohttp", **arguments)


def broken_off(writer):
    """Reset the connection, as a machine does that does not know it any more."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def closes(reader, writer):
    writer.close()


async def resets(reader, writer):
    broken_off(writer)


async def stalls(reader, writer):
    await reader.read()


async def truncates(reader, writer):
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
    await writer.drain()
    writer.close()


async def truncates_a_chunk(reader, writer):
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\n{")
    await writer.drain()
    writer.close()


async def resets_the_body(reader, writer):
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
    await writer.drain()
    await asyncio.sleep(0.05)
    broken_off(writer)


async def stalls_in_the_body(reader, writer):
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
    await reader.read()


async def babbles(reader, writer):
    writer.write(b"\x00\x01\x02 hello\r\n\r\n")
    await writer.drain()
    writer.close()


FAULTS = {
    closes: httpx.RemoteProtocolError,
    resets: httpx.ReadError,
    stalls: httpx.ReadTimeout,
    truncates: httpx.RemoteProtocolError,
    truncates_a_chunk: httpx.RemoteProtocolError,
    resets_the_body: httpx.ReadError,
    stalls_in_the_body: httpx.ReadTimeout,
    babbles: httpx.RemoteProtocolError,
}
TRANSPORTS = {"httpx": httpx.AsyncHTTPTransport, "aiohttp": lambda: AiohttpTransport(Context())}


async def raised(transport, method, url):
    """Send one request and return what it ends by."""
    timeout = httpx.Timeout(5.0, read=0.3)
    async with httpx.AsyncClient(transport=transport, timeout=timeout) as library:
        with pytest.raises(Exception) as caught:
            await library.request(method, url, content=b'{"a":1}' if method == "POST" else None)
    return caught.type


@pytest.mark.parametrize("library", TRANSPORTS)
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
async def test_what_breaks_after_the_request_was_read_has_one_name(raw_server, fault, method, library):
    """The same with both libraries, and never a name that says "not sent"; a POST is seen once."""
    async with raw_server.answering(fault):
        kind = await raised(TRANSPORTS[library](), method, raw_server.url)

    # A reset within the body is for aiohttp a body that ended.
    cut = library == "aiohttp" and fault is resets_the_body
    assert kind is (httpx.RemoteProtocolError if cut else FAULTS[fault])
    again = library == "aiohttp" and method == "GET" and fault in (closes, resets)  # of its own accord
    assert len(raw_server.received) == (2 if again else 1)


@pytest.mark.parametrize("fault", [closes, resets])
async def test_a_question_that_is_a_post_is_sent_once(raw_server, http_bytes, fault):
    """On a connection that was used before, too, which the server may have closed meanwhile."""

    async def behave(reader, writer):
        if len(raw_server.received) == 1:
            writer.write(http_bytes("{}"))
        else:
            await fault(reader, writer)

    async with raw_server.answering(behave), httpx.AsyncClient(transport=AiohttpTransport(Context())) as library:
        await library.get(raw_server.url)
        with pytest.raises(FAULTS[fault]):
            await library.post(raw_server.url, content=b"{}")

    assert raw_server.connections == 1
    assert len(raw_server.received) == 2


@pytest.mark.parametrize("library", TRANSPORTS)
async def test_a_refused_connection_is_one(library, closed_port):
    """The one failure by which nothing was sent."""
    assert await raised(TRANSPORTS[library](), "POST", f"http://127.0.0.1:{closed_port}") is httpx.ConnectError


@pytest.mark.parametrize("library", TRANSPORTS)
async def test_a_host_without_address_is_not_connected_to(library):
    """Nor is a name that nobody has."""
    assert await raised(TRANSPORTS[library](), "POST", "http://nothing.invalid") is httpx.ConnectError


async def test_the_library_between_would_call_it_never_sent(raw_server):
    """What is put back here; when this fails, `_put_back` may go."""
    async with raw_server.answering(closes):
        kind = await raised(httpx_aiohttp.AiohttpTransport(), "POST", raw_server.url)

    assert kind is httpx.ConnectTimeout
    assert len(raw_server.received) == 1


@pytest.mark.parametrize("fault", [closes, resets, truncates, babbles])
async def test_a_create_goes_another_way_and_is_unknown(raw_server, fault):
    """On a connection of its own by the HTTP library, whoever carries questions."""
    async with raw_server.answering(fault):
        http = client(raw_server.url)
        with pytest.raises(SentWithoutAnswer, match=FAULTS[fault].__name__):
            await http.create(CREATE, seconds=5)
        await http.close()

    assert len(raw_server.received) == 1
    assert b"User-Agent: kie-core/1.0" in raw_server.received[0]


async def test_a_create_that_cannot_be_sent_is_not_sent(closed_port):
    """As ever."""
    http = client(f"http://127.0.0.1:{closed_port}")

    with pytest.raises(NotSent):
        await http.create(CREATE, seconds=5)
    with pytest.raises(ReadFailed, match="ConnectError"):
        await http.ask(ASK, seconds=5)
    await http.close()


async def test_closing_fails_the_questions_that_wait_and_calls_nobody_off(raw_server):
    """A task that nobody has cancelled would end as if somebody had, without a word."""
    async with raw_server.answering(stalls):
        http = client(raw_server.url)
        asked = [asyncio.create_task(http.ask(ASK, seconds=20)) for _ in range(PLACES + 3)]
        while len(raw_server.received) < PLACES:  # noqa: ASYNC110 - what others do is looked at from outside
            await asyncio.sleep(0.005)
        await http.close()
        ends = await asyncio.gather(*asked, return_exceptions=True)

    assert [type(end) for end in ends] == [ReadFailed] * (PLACES + 3)
    assert "the client is closed" in str(ends[-1])


async def test_a_question_that_is_called_off_while_its_client_closes_ends_so(raw_server):
    """That is not the same."""
    async with raw_server.answering(stalls):
        http = client(raw_server.url)
        asked = [asyncio.create_task(http.ask(ASK, seconds=20)) for _ in range(PLACES + 1)]
        while len(raw_server.received) < PLACES:  # noqa: ASYNC110 - what others do is looked at from outside
            await asyncio.sleep(0.005)
        closing = asyncio.create_task(http.close())
        asked[-1].cancel()
        await asyncio.gather(closing, *asked, return_exceptions=True)

    assert asked[-1].cancelled()


async def test_a_proxy_of_the_environment_is_honoured(raw_server, http_bytes, monkeypatch):
    """As by the HTTP library itself."""

    async def behave(reader, writer):
        writer.write(http_bytes("{}"))

    async with raw_server.answering(behave):
        monkeypatch.setenv("HTTP_PROXY", raw_server.url)
        http = client("http://nothing.invalid")
        await http.ask(ASK, seconds=5)
        await http.close()

    assert raw_server.received[0].startswith(b"GET http://nothing.invalid/ask?")


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1", "socks://127.0.0.1:1"])
async def test_a_proxy_that_it_does_not_know_is_said(monkeypatch, proxy):
    """Not gone around."""
    monkeypatch.setenv("ALL_PROXY", proxy)
    http = client("https://nothing.invalid")

    with pytest.raises(ReadFailed, match="ConnectError"):
        await http.ask(ASK, seconds=5)
    await http.close()


def test_it_is_imported_only_where_it_is_asked_for(tmp_path):
    """It would double what a start costs."""
    code = (
        "import asyncio, sys\n"
        "from kie_core import Kie\n"
        "async def main():\n"
        "    async with Kie('0123456789abcdef', ledger='memory:', http_library=sys.argv[1]): pass\n"
        "asyncio.run(main())\n"
        "print('aiohttp' in sys.modules)\n"
    )

    def loaded(library):
        run = [sys.executable, "-c", code, library]
        return subprocess.run(run, capture_output=True, text=True, check=True, timeout=60, cwd=tmp_path).stdout.strip()

    assert [loaded("httpx"), loaded("aiohttp")] == ["False", "True"]


@pytest.mark.parametrize("missing", ["httpx_aiohttp", "aiohttp"])
async def test_an_extra_that_is_missing_is_named(monkeypatch, missing):
    """Before anything is bought."""
    monkeypatch.delitem(sys.modules, "kie_core._network.aiohttp")
    monkeypatch.setitem(sys.modules, missing, None)

    with pytest.raises(ConfigError, match=rf"{missing} is missing; try: pip install 'kie-core\[aiohttp\]'"):
        async with Kie(KEY, ledger="memory:", http_library="aiohttp"):
            pass


def test_another_library_is_no_setting():
    """There are two."""
    with pytest.raises(ConfigError, match="expected httpx or aiohttp"):
        Kie(KEY, http_library="requests")
