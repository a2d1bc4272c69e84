"""The network: what left this machine and what did not, over real sockets."""

from __future__ import annotations

import asyncio
import base64
import gc
import gzip
import json
import logging
import socket
import sys
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import respx

from kie_core import NotSent, ReadFailed
from kie_core._jobs.answer import Answer
from kie_core._jobs.job import Request
from kie_core._network.http import LARGEST_ANSWER, SentWithoutAnswer
from kie_core._network.transport import proxy_for

from .wire import ASK, CREATE, FAULTS, KEY, client, close, cut, says, turns

pytestmark = pytest.mark.anyio


async def create(server, behave, *, seconds=5.0):
    async with server.answering(behave):
        http = client(server.url)
        try:
            return await http.create(CREATE, seconds=seconds)
        finally:
            await http.close()


async def ask(server, behave, library, *, seconds=5.0):
    async with server.answering(behave):
        http = client(server.url, library=library)
        try:
            return await http.ask(ASK, seconds=seconds)
        finally:
            await http.close()


async def test_a_create_carries_key_and_body_once(raw_server, http_bytes):
    """One POST, on a connection that is closed afterwards."""
    answer = await create(raw_server, says(http_bytes('{"code": 200}')))

    assert answer == Answer(200, b'{"code": 200}')
    assert len(raw_server.received) == 1
    head, _, body = raw_server.received[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /create HTTP/1.1")
    assert f"Authorization: Bearer {KEY}".encode() in head
    assert body == b'{"a":1}'


async def test_the_query_is_escaped_and_a_prefix_kept(raw_server, http_bytes, library):
    """Task ids are text from outside."""
    async with raw_server.answering(says(http_bytes("{}"))):
        http = client(raw_server.url + "/prefix", library=library)
        await http.ask(ASK, seconds=5)
        await http.close()

    target = urlsplit(raw_server.received[0].split()[1].decode("ascii"))
    assert target.path == "/prefix/ask"
    assert parse_qs(target.query) == {"taskId": ["t/1 ü&a=%2B+"]}


@pytest.mark.parametrize("fault", FAULTS)
async def test_whatever_happens_after_the_request_left_is_unknown(raw_server, in_haste, fault):
    """Never "not sent": that would be paid twice. And the server sees it once."""
    with pytest.raises(SentWithoutAnswer):
        await create(raw_server, FAULTS[fault], seconds=0.7)

    assert len(raw_server.received) == 1


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_question_that_fails_is_a_failed_question(raw_server, fault, library):
    """Free, and asked again by whoever wants to know."""
    with pytest.raises(ReadFailed):
        await ask(raw_server, FAULTS[fault], library, seconds=0.7)


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


@pytest.mark.parametrize("broken", [b"", b"\xff" * 400], ids=["cut", "garbled"])
async def test_what_came_packed_before_the_line_broke_is_kept_unpacked(raw_server, broken):
    """A proxy may pack what nobody asked it to; with rubbish in it, what came is kept as it is."""
    packed = gzip.compress(
        b'{"code":200,"data":{"taskId":"T-PAID-1"},"key":"%s","more":"' % KEY.encode() + bytes(9) * 99
    )
    start = packed[:-12] if not broken else packed[:4] + broken
    half = cut(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 500\r\n\r\n" + start)

    with pytest.raises(SentWithoutAnswer) as caught:
        await create(raw_server, half)

    assert (caught.value.received == start) if broken else (b"T-PAID-1" in caught.value.received)
    assert KEY.encode() not in caught.value.received


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


class Sore(httpx.AsyncBaseTransport):
    """A caller's transport that has the last word when it is called off."""

    async def handle_async_request(self, request):
        try:
            await asyncio.sleep(60)
        finally:
            raise httpx.ReadError(f"called off: {request.headers['Authorization']}")


async def test_how_a_create_ends_that_was_given_up_is_logged_nowhere(monkeypatch, caplog):
    """asyncio would log it, with whatever stands in it."""
    monkeypatch.setattr("kie_core._network.http.GRACE_SECONDS", 0.01)
    http = client("http://127.0.0.1:1", transport=Sore())

    with pytest.raises(SentWithoutAnswer, match="no answer within"):
        await http.create(CREATE, seconds=0.01)
    gc.collect()
    await turns(2)

    assert caplog.text == ""


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


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_proxy_is_told_the_password_and_nobody_else(
    raw_server, http_bytes, monkeypatch, library, caplog, scheme
):
    """With each request, or before the tunnel; no warning comes of it, which here would be an error."""
    caplog.set_level(logging.DEBUG)
    async with raw_server.answering(says(http_bytes("{}", status="200 OK" if scheme == "http" else "407 Who are you"))):
        address = raw_server.url.replace("//", "//me:s%2Fcr%C3%A9t@")
        monkeypatch.setenv(f"{scheme.upper()}_PROXY", address)
        http = client(f"{scheme}://nothing.invalid", library=library)
        for _ in range(2):
            if scheme == "http":
                await http.ask(ASK, seconds=5)
            else:
                with pytest.raises(ReadFailed, match="407") as caught:
                    await http.ask(ASK, seconds=5)
                assert "s/cr" not in str(caught.value)
        await http.close()

    login = b"Basic " + base64.b64encode("me:s/crét".encode())
    heads = [dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:-2]) for head in raw_server.received]
    assert [head[b"proxy-authorization"] for head in heads] == [login.lower()] * 2
    assert raw_server.connections == (1 if scheme == "http" else 2)
    assert not any(secret in caplog.text for secret in ("s%2Fcr", "s/cr", login.decode()))


@pytest.mark.parametrize(
    "address", ["http://me:s3c/ret@p:1", "http://me:s3c#ret@p:1", "me:s3c?ret@p:1", "ftp://me:s3c@p"]
)
async def test_a_proxy_whose_address_is_none_shows_no_password(monkeypatch, library, address):
    """The library would take a part of it for the port, and say so."""
    monkeypatch.setenv("ALL_PROXY", address)
    http = client("https://api.kie.ai", library=library)
    for send, request in ((http.create, CREATE), (http.ask, ASK)):
        with pytest.raises((NotSent, ReadFailed), match="its address is no URL") as caught:
            await send(request, seconds=5)
        assert "s3c" not in str(caught.value)
    await http.close()


class Searched:
    """Stands before the finders of modules, and notes what is looked for."""

    def __init__(self):
        self.names = []

    def find_spec(self, name, path=None, target=None):
        self.names.append(name)


async def test_a_question_looks_for_no_module(raw_server, http_bytes, monkeypatch, library):
    """What is not there is looked for on the whole path each time: a fifth of what a question costs, and more."""
    searched = Searched()
    async with raw_server.answering(says(http_bytes("{}"))):
        http = client(raw_server.url, library=library)
        await http.ask(ASK, seconds=5)
        monkeypatch.setattr(sys, "meta_path", [searched, *sys.meta_path])
        await http.ask(ASK, seconds=5)
        await http.close()

    assert searched.names == []


async def test_creates_do_not(raw_server, http_bytes):
    """A stale connection must never cost a job: each create has its own."""
    async with raw_server.answering(says(http_bytes("{}"))):
        http = client(raw_server.url)
        for _ in range(3):
            await http.create(CREATE, seconds=5)
        await http.close()

    assert raw_server.connections == 3


async def test_a_question_has_no_memory_and_goes_nowhere_else(raw_server, http_bytes, library):
    """No cookie comes back, no redirect is followed, nothing packed is asked for, and the key goes along."""
    headers = "Set-Cookie: seen=1; Path=/\r\nLocation: /elsewhere\r\n"
    async with raw_server.answering(says(http_bytes("", status="302 Found", headers=headers))):
        http = client(raw_server.url.replace("127.0.0.1", "localhost"), library=library)  # addresses have no cookies
        answers = [await http.ask(ASK, seconds=5) for _ in range(2)]
        await http.close()

    assert [answer.status for answer in answers] == [302, 302]
    assert len(raw_server.received) == 2
    for request in raw_server.received:
        assert b"cookie" not in request.lower()
        assert b"accept-encoding: identity\r\n" in request.lower()
        assert f"authorization: bearer {KEY}\r\n".encode() in request.lower()
        assert b"user-agent: kie-core/1.0\r\n" in request.lower()


async def test_a_question_with_a_body_says_that_it_is_json(raw_server, http_bytes, library):
    """Some questions are a POST."""
    async with raw_server.answering(says(http_bytes("{}"))):
        http = client(raw_server.url, library=library)
        await http.ask(Request("POST", "/ask", content=b'{"a":1}'), seconds=5)
        await http.close()

    head, _, body = raw_server.received[0].partition(b"\r\n\r\n")
    assert b"\r\ncontent-type: application/json" in head.lower()
    assert body == b'{"a":1}'


async def test_an_answer_to_a_question_is_bounded_and_without_the_key(raw_server, http_bytes, library):
    """As that to a create."""
    answer = await ask(raw_server, says(http_bytes(f'{{"msg": "bad key {KEY}"}}')), library)
    assert answer.content == b'{"msg": "bad key ***"}'

    flood = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n" + b" " * (LARGEST_ANSWER + 1)
    with pytest.raises(ReadFailed, match="larger than"):
        await ask(raw_server, says(flood), library)


async def test_an_echo_of_the_key_is_masked_and_logs_never_show_it(raw_server, http_bytes, caplog):
    """At DEBUG, with everything."""
    caplog.set_level(logging.DEBUG)

    answer = await create(raw_server, says(http_bytes(f'{{"msg": "bad key {KEY}"}}')))

    assert answer.content == b'{"msg": "bad key ***"}'
    assert KEY not in caplog.text
    assert "/create" in caplog.text


@pytest.mark.parametrize("using", ["httpcore", "httpx"])
async def test_the_usual_mocker_intercepts(using):
    """Users test their bots with respx, which stands in for the connections, or in front of any transport."""
    with respx.mock(using=using) as mocked:
        mocked.post("https://api.kie.ai/create").respond(json={"code": 200})
        mocked.get("https://api.kie.ai/ask").respond(json={"code": 201})
        http = client("https://api.kie.ai")
        created, asked = await http.create(CREATE, seconds=5), await http.ask(ASK, seconds=5)
        await http.close()

    assert json.loads(created.content) == {"code": 200}
    assert json.loads(asked.content) == {"code": 201}
