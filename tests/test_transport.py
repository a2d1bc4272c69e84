"""Connections: whose turn it is, which are used again, and that none is lost or left open."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import socket
import ssl
import subprocess
from collections import Counter

import pytest

from kie_core import ReadFailed
from kie_core._jobs.answer import Answer
from kie_core._network.transport import PLACES, Context, said

from .wire import ASK, FAULTS, client, close, says, turns

pytestmark = pytest.mark.anyio
TCP_CORK = getattr(socket, "TCP_CORK", socket.TCP_NODELAY)


async def test_questions_share_connections(raw_server, http_bytes, library):
    """Ten questions, one after the other: one connection."""
    async with raw_server.answering(says(http_bytes("{}"))):
        http = client(raw_server.url, library=library)
        for _ in range(10):
            await http.ask(ASK, seconds=5)
        await http.close()

    assert raw_server.connections == 1


async def true(condition):
    """Wait until *condition* holds; the test's own time ends it."""
    while not condition():  # noqa: ASYNC110 - what others do is looked at from outside
        await asyncio.sleep(0.005)


class Gate:
    """Answers in two pieces, or holds every request until the gate is opened; counts what it holds."""

    def __init__(self, http_bytes):
        self.http_bytes = http_bytes
        self.held = 0
        self.holding = False
        self.opened = asyncio.Event()

    async def __call__(self, reader, writer):
        if self.holding:
            self.held += 1
            await self.opened.wait()
        head, _, body = self.http_bytes("{}").partition(b"\r\n\r\n")
        writer.write(head)
        await turns(5)
        writer.write(b"\r\n\r\n")
        await turns(5)
        writer.write(body)


async def all_places_are_free(server, gate, http):
    """Of more questions than there are places, exactly as many are on their way at once; then all are answered."""
    gate.holding = True
    asked = [asyncio.create_task(http.ask(ASK, seconds=60)) for _ in range(PLACES + 5)]
    await true(lambda: gate.held == PLACES)
    await asyncio.sleep(0.05)
    assert gate.held == PLACES
    gate.opened.set()
    assert {answer.content for answer in await asyncio.gather(*asked)} == {b"{}"}


async def test_no_place_is_lost_by_cancellation(raw_server, http_bytes, library):
    """200 questions that are called off anywhere: waiting, connecting, sending, reading, closing."""
    gate, dice = Gate(http_bytes), random.Random(7)
    async with raw_server.answering(gate):
        http = client(raw_server.url, library=library)
        asked = [asyncio.create_task(http.ask(ASK, seconds=60)) for _ in range(200)]

        async def call_off(question):
            await turns(dice.randrange(120))
            question.cancel()

        await asyncio.gather(*(call_off(question) for question in asked))
        ends = Counter(type(end) for end in await asyncio.gather(*asked, return_exceptions=True))
        assert ends.keys() == {Answer, asyncio.CancelledError}
        assert ends[asyncio.CancelledError] > PLACES

        await all_places_are_free(raw_server, gate, http)
        await http.close()
        await true(lambda: raw_server.open == 0)


@pytest.mark.parametrize("fault", [*FAULTS, "deadline"])
async def test_no_place_is_lost_by_a_failure(raw_server, http_bytes, fault, library):
    """More failures than there are places; what they were asked on is closed, and no connection outlives the client."""
    gate, broken = Gate(http_bytes), PLACES + 8

    async def hang(reader, writer):
        await reader.read()

    async def behave(reader, writer):
        nonlocal broken
        if broken:
            broken -= 1
            await (hang if fault in ("deadline", "stalled") else FAULTS[fault])(reader, writer)
        else:
            await gate(reader, writer)

    async with raw_server.answering(behave):
        http = client(raw_server.url, library=library)
        ends = await asyncio.gather(*(http.ask(ASK, seconds=1) for _ in range(PLACES + 8)), return_exceptions=True)
        assert {type(end) for end in ends} <= {ReadFailed, Answer}
        broken = 0
        await all_places_are_free(raw_server, gate, http)
        await http.close()
        await true(lambda: raw_server.open == 0)


async def test_a_handshake_that_is_called_off_leaves_no_connection(raw_server, library):
    """The library's own would stay open until the other side has enough of it."""
    async with raw_server.answering(close):
        http = client(raw_server.url.replace("http://", "https://"), library=library)
        asked = [asyncio.create_task(http.ask(ASK, seconds=20)) for _ in range(8)]
        await true(lambda: raw_server.open == 8)
        for question in asked:
            question.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
        await true(lambda: raw_server.open == 0)
        await http.close()


@pytest.fixture
def own_tls(monkeypatch, tmp_path):
    """What a server of this machine shows, and the clients of this test trust."""
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    make = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
        f" -addext subjectAltName=DNS:localhost -out {certificate} -keyout {key}"
    )
    try:
        subprocess.run(make.split(), check=True, capture_output=True, timeout=60)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no openssl here: {error}")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


async def test_so_does_one_in_place_of_a_connection_that_was_just_closed(own_tls, http_bytes, library):
    """Servers close after so many answers: the next question shakes hands, however soon it comes."""
    connections = Counter()

    async def connection(reader, writer):
        connections["made"] += 1
        if connections["made"] == 1:
            await writer.start_tls(own_tls)
            await reader.readuntil(b"\r\n\r\n")
            writer.write(http_bytes("{}", headers="Connection: close\r\n"))
        else:
            connections["open"] += 1
            await reader.read(-1)  # no handshake
            connections["open"] -= 1
        writer.close()

    async with await asyncio.start_server(connection, "127.0.0.1", 0) as server:
        http = client(f"https://localhost:{server.sockets[0].getsockname()[1]}", library=library)
        await http.ask(ASK, seconds=20)
        asked = asyncio.create_task(http.ask(ASK, seconds=20))
        await true(lambda: connections["open"] == 1)
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)
        await asyncio.wait_for(true(lambda: connections["open"] == 0), 10)
        await http.close()


async def test_a_connection_is_used_again_only_after_a_whole_answer(raw_server, http_bytes, library):
    """A good answer, half a one, a good one: the third question has a connection of its own."""
    whole = http_bytes("{}")
    answers = [whole, b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", whole]

    async def behave(reader, writer):
        answer = answers.pop(0)
        writer.write(answer)
        if answer != whole:
            await reader.read()  # half an answer, and then silence

    async with raw_server.answering(behave):
        http = client(raw_server.url, library=library)
        await http.ask(ASK, seconds=5)
        with pytest.raises(ReadFailed):
            await http.ask(ASK, seconds=0.3)
        assert raw_server.connections == 1
        await http.ask(ASK, seconds=5)
        await http.close()

    assert raw_server.connections == 2


def one_too_many(http_bytes, *, late, asked):
    """Answer the first of all questions twice, the second time at once, or when it has been *asked* and answered."""
    numbers = itertools.count(1)

    async def behave(reader, writer):
        number = next(numbers)
        if number > 1:
            writer.write(http_bytes(str(number)))
        elif late:
            writer.write(http_bytes("1"))
            await asked.wait()
            writer.write(http_bytes("surplus"))
        else:
            writer.write(http_bytes("1") + http_bytes("surplus"))

    return behave


@pytest.mark.parametrize("late", [False, True])
async def test_an_answer_too_many_is_not_taken_for_that_to_the_next_question(raw_server, http_bytes, library, late):
    """It comes along with the first one, or while the connection is idle; what it came on is not used again."""
    asked = asyncio.Event()
    async with raw_server.answering(one_too_many(http_bytes, late=late, asked=asked)):
        http = client(raw_server.url, library=library)
        answers = [(await http.ask(ASK, seconds=5)).content]
        asked.set()
        if late:
            await asyncio.sleep(0.05)  # until it is here: nobody can be asked
        answers += [(await http.ask(ASK, seconds=5)).content for _ in range(2)]
        await http.close()

    assert (answers, raw_server.connections) == ([b"1", b"2", b"3"], 2)


@pytest.mark.parametrize("surplus", [b"", b"surplus"])
async def test_a_connection_by_tls_is_used_again_unless_more_came(own_tls, http_bytes, library, surplus):
    """It is seen also where it is still encrypted, which nothing above it notices."""
    made = []

    async def connection(reader, writer):
        made.append(writer)
        await writer.start_tls(own_tls)
        with contextlib.suppress(asyncio.IncompleteReadError):
            while await reader.readuntil(b"\r\n\r\n"):
                raw = writer.get_extra_info("socket")
                raw.setsockopt(socket.IPPROTO_TCP, TCP_CORK, 1)  # several records, one packet
                writer.write(http_bytes("right"))
                if surplus:
                    writer.write(http_bytes(surplus))
                raw.setsockopt(socket.IPPROTO_TCP, TCP_CORK, 0)
        writer.close()

    async with await asyncio.start_server(connection, "127.0.0.1", 0) as server:
        http = client(f"https://localhost:{server.sockets[0].getsockname()[1]}", library=library)
        answers = {(await http.ask(ASK, seconds=20)).content for _ in range(4)}
        await http.close()

    assert (answers, len(made)) == ({b"right"}, 4 if surplus else 1)


async def test_what_is_distrusted_is_not_used_again(raw_server, http_bytes, library):
    """Neither what is idle; what comes after that is as good as ever."""
    async with raw_server.answering(says(http_bytes("{}"))):
        http = client(raw_server.url, library=library)
        for _ in range(2):
            await http.ask(ASK, seconds=5)
            http.distrust()
        for _ in range(3):
            await http.ask(ASK, seconds=5)
        await http.close()

    assert raw_server.connections == 3


async def test_closing_lets_what_is_on_its_way_end_and_begins_nothing(raw_server, http_bytes):
    """Its connection closes behind it; what waits for a place, and whatever comes later, is told."""
    gate = Gate(http_bytes)
    gate.holding = True
    async with raw_server.answering(gate):
        http = client(raw_server.url)
        asked = [asyncio.create_task(http.ask(ASK, seconds=20)) for _ in range(PLACES + 3)]
        await true(lambda: gate.held == PLACES)
        await http.close()
        gate.opened.set()
        ends = await asyncio.gather(*asked, return_exceptions=True)
        assert [type(end) for end in ends] == [Answer] * PLACES + [ReadFailed] * 3
        with pytest.raises(ReadFailed, match="closed"):
            await http.ask(ASK, seconds=5)
        await true(lambda: raw_server.open == 0)

    assert raw_server.connections == PLACES


@pytest.mark.parametrize("after", range(1, 6))
async def test_closing_that_is_called_off_leaves_no_connection(raw_server, http_bytes, library, after):
    """Nobody closes a client twice."""
    gate = Gate(http_bytes)
    async with raw_server.answering(gate):
        http = client(raw_server.url, library=library)
        await all_places_are_free(raw_server, gate, http)
        closing = asyncio.create_task(http.close())
        await turns(after)
        closing.cancel()
        await asyncio.gather(closing, return_exceptions=True)
        await asyncio.wait_for(true(lambda: raw_server.open == 0), 10)
        await http.close()


async def test_connections_of_a_burst_are_not_kept_for_ever(raw_server, http_bytes, monkeypatch):
    """They would lie half-closed until the client is: each question closes one that was idle for too long."""
    monkeypatch.setattr("kie_core._network.transport.IDLE_SECONDS", 0.2)
    gate = Gate(http_bytes)
    async with raw_server.answering(gate):
        http = client(raw_server.url)
        await all_places_are_free(raw_server, gate, http)
        assert raw_server.open == PLACES
        await asyncio.sleep(0.3)
        for _ in range(PLACES):
            await http.ask(ASK, seconds=5)
        await true(lambda: raw_server.open == 1)
        await http.close()


async def test_a_connection_that_the_server_closed_meanwhile_is_made_anew(raw_server, http_bytes, library):
    """Servers close what is idle; the next question does not notice."""

    async def once(reader, writer):
        writer.write(http_bytes("{}"))
        await writer.drain()
        writer.close()

    async with raw_server.answering(once):
        http = client(raw_server.url, library=library)
        for _ in range(3):
            await http.ask(ASK, seconds=5)
            await true(lambda: raw_server.open == 0)
        await http.close()

    assert raw_server.connections == 3


async def test_one_tls_context_serves_all_connections():
    """Making one is slow, so it is made once, and only for https."""
    context = Context()

    assert context.get("https") is context.get("https")
    assert context.get("https").verify_mode is ssl.CERT_REQUIRED
    assert context.get("http").verify_mode is ssl.CERT_REQUIRED


def test_an_error_is_told_in_short():
    """aiohttp's repeats whatever the other side sent, which may be anything, and much."""
    assert said(ValueError("a" * 100)) == "ValueError: " + "a" * 100
    assert len(said(ValueError("a" * 100_000))) < 250
    assert said(ValueError()) == "ValueError"
