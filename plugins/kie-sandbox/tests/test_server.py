"""The server around the fake Kie, over real sockets of this machine."""

from __future__ import annotations

import contextlib
import gc
import http.client
import json
import socket
import threading
import warnings
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner

from kie_sandbox import Sandbox, serve
from kie_sandbox.command import sandbox

HEADERS = {"Authorization": "Bearer sandbox", "Content-Type": "application/json"}
CREATE = "/api/v1/gpt4o-image/generate"
QUERY = "/api/v1/gpt4o-image/record-info"
REQUEST = json.dumps({"prompt": "a cat", "size": "1:1"}).encode()


@pytest.fixture
def url():
    with serve(speed=1e6) as found:
        yield found


def connect(url):
    return http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)


def ask(connection, method, target, content=None, headers=HEADERS):
    connection.request(method, target, body=content, headers=headers)
    response = connection.getresponse()
    return response, response.read()


def said(url, method, target, content=None):
    """Ask on a connection of its own and return the JSON answer."""
    connection = connect(url)
    try:
        return json.loads(ask(connection, method, target, content)[1])
    finally:
        connection.close()


def balance(url):
    return said(url, "GET", "/api/v1/chat/credit")["data"]


def test_a_sandbox_that_is_there_takes_no_arguments_for_a_new_one():
    """A test whose faults nobody heeds would pass for nothing."""
    with pytest.raises(TypeError, match="faults would not count"), serve(sandbox=Sandbox(), faults=["create-reset"]):
        pass


def test_a_job_from_create_to_file(url):
    """What a client does: create, read, and fetch what was made."""
    task_id = said(url, "POST", CREATE, REQUEST)["data"]["taskId"]
    record = said(url, "GET", f"{QUERY}?taskId={task_id}")["data"]
    connection = connect(url)
    response, content = ask(connection, "GET", urlsplit(record["response"]["resultUrls"][0]).path, headers={})
    connection.close()

    assert (response.status, response.getheader("Content-Type")) == (200, "image/png")
    assert content.startswith(b"\x89PNG")


def test_results_lie_on_the_server_that_was_asked(url):
    """The address in a record can be fetched as it is."""
    task_id = said(url, "POST", CREATE, REQUEST)["data"]["taskId"]
    record = said(url, "GET", f"{QUERY}?taskId={task_id}")["data"]

    assert record["response"]["resultUrls"][0].startswith(f"{url}/files/")


def test_the_server_is_on_this_machine_only(url):
    """On a port that was free."""
    assert urlsplit(url).hostname == "127.0.0.1"
    assert urlsplit(url).port > 0


def test_refusals_come_with_http_200(url):
    """The code is in the body, as at Kie."""
    connection = connect(url)
    response, content = ask(connection, "GET", "/api/v1/chat/credit", headers={})
    connection.close()

    assert (response.status, json.loads(content)["code"]) == (200, 401)
    assert response.getheader("Content-Type") == "application/json;charset=UTF-8"


def test_two_requests_on_one_connection(url):
    """The connection stays open, and the second answer is the second's."""
    connection = connect(url)
    first = json.loads(ask(connection, "GET", "/api/v1/chat/credit")[1])
    before = connection.sock
    second = json.loads(ask(connection, "POST", CREATE, REQUEST)[1])
    after = connection.sock
    connection.close()

    assert (first["data"], set(second["data"])) == (10_000, {"taskId"})
    assert before is after is not None


def test_a_file_and_a_request_on_one_connection(url):
    """A big answer is read to its end and leaves the connection in order."""
    connection = connect(url)
    content = ask(connection, "GET", "/files/x/1-clip.mp4")[1]
    answer = json.loads(ask(connection, "GET", "/api/v1/chat/credit")[1])
    connection.close()

    assert content[4:8] == b"ftyp"
    assert answer["code"] == 200


def test_a_connection_that_asks_to_be_closed_is_closed(url):
    """``Connection: close``."""
    connection = connect(url)
    response, _ = ask(connection, "GET", "/api/v1/chat/credit", headers={**HEADERS, "Connection": "close"})
    connection.close()

    assert response.will_close


def raw(url, content):
    """Send bytes as they are and return what comes back until the server hangs up."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), timeout=10) as plain:
        plain.sendall(content)
        with contextlib.suppress(OSError):  # the server may have hung up already
            plain.shutdown(socket.SHUT_WR)
        found = b""
        while chunk := plain.recv(65536):
            found += chunk
    return found


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # a client that speaks TLS
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: ten\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nfour",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 200_000,
        bytes(range(256)) * 64,
    ],
    ids=["nothing", "blank", "tls", "short", "version", "length", "cut", "header", "bytes"],
)
def test_garbage_does_not_kill_the_server(url, content):
    """The connection is closed, the next one is served."""
    with contextlib.suppress(ConnectionError):
        raw(url, content)

    assert balance(url) == 10_000


@pytest.mark.parametrize(
    "request_line", [b"GET //[ HTTP/1.1", b"POST /api/v1/jobs/createTask HTTP/1.1"], ids=["target", "model"]
)
def test_an_odd_request_is_answered(url, request_line):
    """In Kie's manner; the client is not left without an answer."""
    content = b'{"model":["a"],"input":{}}'
    head = b"\r\nHost: x\r\nAuthorization: Bearer k\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(content)

    assert raw(url, request_line + head + content).startswith(b"HTTP/1.1 200")


def test_a_client_that_leaves_early_does_not_kill_the_server(url):
    """It hangs up in the middle of a big answer."""
    parts = urlsplit(url)
    for _ in range(5):
        with socket.create_connection((parts.hostname, parts.port), timeout=10) as plain:
            plain.sendall(b"GET /files/x/1-clip.mp4 HTTP/1.1\r\nHost: x\r\n\r\n" * 20)

    assert balance(url) == 10_000


def test_many_clients_at_once(url):
    """Each request is one step: no credit is lost between two of them."""
    codes = []

    def buy():
        codes.append(said(url, "POST", CREATE, REQUEST)["code"])

    threads = [threading.Thread(target=buy) for _ in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(codes) == [200] * 20 + [429] * 10
    assert balance(url) == 10_000 - 20 * 6


def test_two_sandboxes_side_by_side():
    """Each has a port, tasks and credits of its own."""
    with serve(credits=100) as one, serve(credits=200) as other:
        task_id = said(one, "POST", CREATE, REQUEST)["data"]["taskId"]
        stranger = said(other, "GET", f"{QUERY}?taskId={task_id}")

        assert one != other
        assert (balance(one), balance(other)) == (94, 200)
        assert stranger["code"] == 422


def test_a_sandbox_of_ones_own_is_served():
    """Its state can be looked at from outside."""
    world = Sandbox(credits=50)
    with serve(sandbox=world) as url:
        task_id = said(url, "POST", CREATE, REQUEST)["data"]["taskId"]

    assert set(world.tasks) == {task_id}


def test_the_server_ends_with_its_block():
    """Nobody listens afterwards, and an open connection does not keep it alive."""
    with serve() as url:
        connection = connect(url)
        ask(connection, "GET", "/api/v1/chat/credit")
    connection.close()

    with pytest.raises(ConnectionRefusedError):
        balance(url)


def test_the_server_closes_its_connections(caplog):
    """Though clients keep them open: nothing is left behind, and nothing is logged as an error."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        with serve() as url:
            connections = [connect(url) for _ in range(3)]
            for connection in connections:
                ask(connection, "GET", "/api/v1/chat/credit")
        for connection in connections:
            connection.close()
        gc.collect()

    assert ([str(warning.message) for warning in seen], caplog.messages) == ([], [])


def test_the_server_ends_when_its_block_fails():
    """The error comes through; the port is free."""
    with pytest.raises(ZeroDivisionError), serve() as url:
        raise ZeroDivisionError

    with pytest.raises(ConnectionRefusedError):
        balance(url)


def test_the_command_explains_itself():
    """Its options, with their defaults."""
    result = CliRunner().invoke(sandbox, ["--help"])

    assert result.exit_code == 0
    assert all(text in result.output for text in ("--port", "8787", "--speed", "1.0", "--credits", "10000"))
