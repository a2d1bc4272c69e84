"""The network: what left this machine and what did not, over real sockets."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import ssl

import httpx
import pytest
import respx

from kie_core import NotSent, ReadFailed
from kie_core._answer import Answer
from kie_core._http import LARGEST_ANSWER, Http, SentWithoutAnswer, StackTransport, _Context, proxy_for
from kie_core._job import Request
from kie_core._secret import Secret

pytestmark = pytest.mark.anyio
KEY = "0123456789abcdef0123456789abcdef"
CREATE = Request("POST", "/create", content=b'{"a":1}')
ASK = Request("GET", "/ask", {"taskId": "t/1 ü"})


def client(url, **arguments):
    return Http(url, Secret(KEY), version="1.0", **arguments)


async def create(server, behave, *, seconds=5.0):
    async with server.answering(behave):
        http = client(server.url)
        try:
            return await http.create(CREATE, seconds=seconds)
        finally:
            await http.close()


async def ask(server, behave, *, seconds=5.0):
    async with server.answering(behave):
        http = client(server.url)
        try:
            return await http.ask(ASK, seconds=seconds)
        finally:
            await http.close()


def says(content):
    async def behave(reader, writer):
        writer.write(content)

    return behave


async def test_a_create_carries_key_and_body_once(raw_server, http_bytes):
    """One POST, on a connection that is closed afterwards."""
    answer = await create(raw_server, says(http_bytes('{"code": 200}')))

    assert answer == Answer(200, b'{"code": 200}')
    assert len(raw_server.received) == 1
    head, _, body = raw_server.received[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /create HTTP/1.1")
    assert f"Authorization: Bearer {KEY}".encode() in head
    assert body == b'{"a":1}'


async def test_the_query_is_escaped_and_a_prefix_kept(raw_server, http_bytes):
    """Task ids are text from outside."""
    async with raw_server.answering(says(http_bytes("{}"))):
        http = client(raw_server.url + "/prefix")
        await http.ask(ASK, seconds=5)
        await http.close()

    assert raw_server.received[0].startswith(b"GET /prefix/ask?taskId=t%2F1+%C3%BC HTTP/1.1")


async def reset(reader, writer):
    writer.transport.abort()


async def close(reader, writer):
    writer.close()


async def stall(reader, writer):
    await asyncio.sleep(30)


async def drip(reader, writer):
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    for _ in range(1000):
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.05)


def cut(content):
    async def behave(reader, writer):
        writer.write(content)
        await writer.drain()
        writer.close()

    return behave


FAULTS = {
    "reset": reset,
    "closed": close,
    "stalled": stall,
    "slow body": drip,
    "half a header": cut(b"HTTP/1.1 200 OK\r\nConte"),
    "half a body": cut(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"),
    "garbage": cut(b"\x00\x01\x02 hello\r\n\r\n"),
    "endless header": cut(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000 + b"\r\n\r\n"),
    "broken gzip": cut(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello"),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_whatever_happens_after_the_request_left_is_unknown(raw_server, fault):
    """Never "not sent": that would be paid twice. And the server sees it once."""
    with pytest.raises(SentWithoutAnswer):
        await create(raw_server, FAULTS[fault], seconds=0.7)

    assert len(raw_server.received) == 1


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_question_that_fails_is_a_failed_question(raw_server, fault):
    """Free, and asked again by whoever wants to know."""
    with pytest.raises(ReadFailed):
        await ask(raw_server, FAULTS[fault], seconds=0.7)


async def test_an_answer_without_end_is_cut_off(raw_server):
    """Neither memory nor time is the server's to spend."""

    async def flood(reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n")
        for _ in range(LARGEST_ANSWER // 65536 + 20):
            writer.write(b" " * 65536)
            await writer.drain()

    with pytest.raises(SentWithoutAnswer, match="larger than"):
        await create(raw_server, flood)


async def test_a_bomb_is_not_unpacked(raw_server, http_bytes):
    """A small answer may be a large one inside."""
    bomb = gzip.compress(b" " * (LARGEST_ANSWER + 1))

    with pytest.raises(SentWithoutAnswer, match="unpacks to more"):
        await create(raw_server, says(http_bytes(bomb, headers="Content-Encoding: gzip\r\n")))


async def test_a_packed_answer_is_read(raw_server, http_bytes):
    """We ask for none, and read it if it comes."""
    packed = gzip.compress(b'{"code": 200}')

    answer = await create(raw_server, says(http_bytes(packed, headers="Content-Encoding: gzip\r\n")))

    assert answer.content == b'{"code": 200}'


async def test_a_redirect_is_not_followed(raw_server, http_bytes):
    """The key and the money go to one place only."""
    answer = await create(
        raw_server, says(http_bytes("", status="307 Temporary Redirect", headers="Location: /elsewhere\r\n"))
    )

    assert answer.status == 307
    assert len(raw_server.received) == 1


@pytest.fixture
def closed_port():
    import socket

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


async def test_a_refused_connection_is_not_sent(closed_port):
    """Provably nothing left."""
    http = client(f"http://127.0.0.1:{closed_port}")

    with pytest.raises(NotSent, match="nothing was sent"):
        await http.create(CREATE, seconds=5)
    await http.close()


@pytest.mark.parametrize("location", ["mailto:x", "http:x", "javascript:1", "http:[", "http://a:99999/"])
async def test_a_redirect_to_nonsense_is_an_answer_all_the_same(raw_server, http_bytes, location):
    """The library fails on such an address after the request was read: that is not "not sent"."""
    behave = says(http_bytes("", status="302 Found", headers=f"Location: {location}\r\n"))

    try:
        answer = await create(raw_server, behave)
    except SentWithoutAnswer:
        pass
    else:
        assert answer.status == 302
    assert len(raw_server.received) == 1


async def test_what_came_before_the_line_broke_is_kept(raw_server):
    """A task id in half an answer may be all that is left of a paid task."""
    half = cut(b'HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"code":200,"data":{"taskId":"T-PAID-1"}}')

    with pytest.raises(SentWithoutAnswer) as caught:
        await create(raw_server, half)

    assert b"T-PAID-1" in caught.value.received


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SSL_CERT_FILE", "/nonexistent.pem"),
        ("HTTPS_PROXY", "socks://127.0.0.1:1"),
        ("ALL_PROXY", "socks5://127.0.0.1:1"),
    ],
)
async def test_an_environment_that_allows_no_connection_is_not_sent(monkeypatch, name, value):
    """Certificates that are missing, proxies that are not understood: found before the first byte."""
    monkeypatch.setenv(name, value)
    http = client("https://api.kie.ai")

    with pytest.raises(NotSent):
        await http.create(CREATE, seconds=5)
    await http.close()


@pytest.mark.parametrize("fault", ["closed", "reset"])
async def test_a_proxy_that_breaks_before_the_tunnel_stands_is_not_sent(raw_server, monkeypatch, fault):
    """The request for the tunnel is not ours."""
    async with raw_server.answering(FAULTS[fault]):
        monkeypatch.setenv("HTTPS_PROXY", raw_server.url)
        http = client("https://api.kie.ai")
        with pytest.raises(NotSent):
            await http.create(CREATE, seconds=5)
        await http.close()

    assert raw_server.received[0].startswith(b"CONNECT")


async def test_a_host_that_speaks_no_tls_is_not_sent(raw_server):
    """The handshake fails before the first byte of the request."""
    async with raw_server.answering(close):
        http = client(raw_server.url.replace("http://", "https://"))
        with pytest.raises((NotSent, SentWithoutAnswer)) as caught:
            await http.create(CREATE, seconds=2)
        await http.close()

    assert caught.type is NotSent
    assert raw_server.received == []


async def test_a_connection_that_takes_too_long_is_not_sent():
    """A server that accepts no connection: the deadline comes before the request."""
    import socket

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        http = client(f"http://127.0.0.1:{listener.getsockname()[1]}")
        with pytest.raises(NotSent, match="ConnectTimeout"):
            await http.create(CREATE, seconds=0.5)
        await http.close()
        for filler in fillers:
            filler.close()


class Dishonest(httpx.AsyncBaseTransport):
    """A caller's transport that calls everything a failed connection, as some do."""

    async def handle_async_request(self, request):
        raise httpx.ConnectError("who knows", request=request)


async def test_a_callers_transport_is_not_believed_when_it_says_not_sent():
    """Unless it reports what it sends."""
    http = client("http://127.0.0.1:1", transport=Dishonest())

    with pytest.raises(SentWithoutAnswer):
        await http.create(CREATE, seconds=5)


class Breaking(httpx.AsyncBaseTransport):
    """A caller's transport that blames a proxy after half an answer."""

    async def handle_async_request(self, request):
        raise httpx.ProxyError("half an answer", request=request)


async def test_a_callers_transport_that_blames_a_proxy_proves_nothing():
    """Only events on the wire do."""
    http = client("http://127.0.0.1:1", transport=Breaking())

    with pytest.raises(SentWithoutAnswer):
        await http.create(CREATE, seconds=5)


class Strange(httpx.AsyncBaseTransport):
    """A caller's transport with errors of its own."""

    async def handle_async_request(self, request):
        raise RuntimeError("broken pipe dream")


async def test_whatever_a_callers_transport_raises_is_unknown():
    """An error that we do not know proves nothing."""
    http = client("http://127.0.0.1:1", transport=Strange())

    with pytest.raises(SentWithoutAnswer, match="broken pipe dream"):
        await http.create(CREATE, seconds=5)
    with pytest.raises(ReadFailed, match="broken pipe dream"):
        await http.ask(ASK, seconds=5)


async def test_a_callers_transport_that_reports_is_believed(closed_port):
    """The library's own transport reports."""
    async with httpx.AsyncHTTPTransport() as transport:
        http = client(f"http://127.0.0.1:{closed_port}", transport=transport)
        with pytest.raises(NotSent):
            await http.create(CREATE, seconds=5)
        await http.close()


async def test_a_proxy_that_refuses_the_tunnel_is_not_sent(raw_server, http_bytes, monkeypatch):
    """The request itself never went out."""
    async with raw_server.answering(says(http_bytes("", status="407 Proxy Authentication Required"))):
        monkeypatch.setenv("HTTPS_PROXY", raw_server.url)
        http = client("https://api.kie.ai")
        with pytest.raises(NotSent, match="407"):
            await http.create(CREATE, seconds=5)
        await http.close()

    assert raw_server.received[0].startswith(b"CONNECT api.kie.ai:443")
    assert KEY.encode() not in raw_server.received[0]


@pytest.mark.parametrize(
    ("environ", "proxy"),
    [
        ({}, None),
        ({"HTTPS_PROXY": "http://p:3128"}, "http://p:3128"),
        ({"https_proxy": "p:3128"}, "http://p:3128"),
        ({"ALL_PROXY": "socks5://p:1"}, "socks5://p:1"),
        ({"HTTPS_PROXY": "http://p:3128", "NO_PROXY": "kie.ai"}, None),
        ({"HTTP_PROXY": "http://p:3128"}, None),
    ],
)
async def test_proxies_of_the_environment_are_honoured(monkeypatch, environ, proxy):
    """A transport given to the library would switch them off; ours looks itself."""
    for name, value in environ.items():
        monkeypatch.setenv(name, value)

    assert proxy_for("https", "api.kie.ai") == proxy


async def test_questions_share_connections(raw_server, http_bytes):
    """Ten questions, one after the other: one connection."""
    async with raw_server.answering(says(http_bytes("{}"))):
        http = client(raw_server.url)
        for _ in range(10):
            await http.ask(ASK, seconds=5)
        await http.close()

    assert raw_server.connections == 1


async def test_creates_do_not(raw_server, http_bytes):
    """A stale connection must never cost a job: each create has its own."""
    async with raw_server.answering(says(http_bytes("{}"))):
        http = client(raw_server.url)
        for _ in range(3):
            await http.create(CREATE, seconds=5)
        await http.close()

    assert raw_server.connections == 3


async def test_no_place_is_lost_by_cancellation_or_failure(raw_server, http_bytes):
    """After 200 cancelled and failed requests all places are free."""
    stalls = True

    async def behave(reader, writer):
        if stalls:
            await asyncio.sleep(30)
        writer.write(http_bytes("{}"))

    transport = StackTransport(4, _Context())
    async with raw_server.answering(behave), httpx.AsyncClient(transport=transport) as library:

        async def one():
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await library.get(raw_server.url)

        await asyncio.gather(*(one() for _ in range(200)))
        stalls = False
        answers = await asyncio.gather(*(library.get(raw_server.url) for _ in range(8)))

    assert [answer.status_code for answer in answers] == [200] * 8


async def test_an_echo_of_the_key_is_masked_and_logs_never_show_it(raw_server, http_bytes, caplog):
    """At DEBUG, with everything."""
    caplog.set_level(logging.DEBUG)

    answer = await create(raw_server, says(http_bytes(f'{{"msg": "bad key {KEY}"}}')))

    assert answer.content == b'{"msg": "bad key ***"}'
    assert KEY not in caplog.text
    assert "/create" in caplog.text


async def test_the_usual_mocker_intercepts(respx_mock: respx.MockRouter):
    """Users test their bots with respx."""
    respx_mock.post("https://api.kie.ai/create").respond(json={"code": 200})
    http = client("https://api.kie.ai")

    answer = await http.create(CREATE, seconds=5)

    assert json.loads(answer.content) == {"code": 200}


async def test_one_tls_context_serves_all_connections():
    """Making one is slow, so it is made once, and only for https."""
    context = _Context()

    assert context.get("https") is context.get("https")
    assert context.get("https").verify_mode is ssl.CERT_REQUIRED
    assert context.get("http").verify_mode is ssl.CERT_REQUIRED
