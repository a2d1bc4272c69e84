"""The guard of this suite: no test reaches another machine, by whatever way."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import sys
import threading

import httpx
import pytest

from kie_core import NotSent, ReadFailed
from kie_core._jobs.job import Request
from kie_core._network.http import Http

#: Nobody's, for documentation. Source: RFC 5737, read 2026-11-26.
ELSEWHERE = "192.0.2.1"


def connect():
    with socket.socket() as one:
        one.connect((ELSEWHERE, 443))


def connect_ex():
    with socket.socket() as one:
        one.connect_ex((ELSEWHERE, 443))


def datagram():
    with socket.socket(type=socket.SOCK_DGRAM) as one:
        one.sendto(b"hello", (ELSEWHERE, 53))


def message():
    with socket.socket(type=socket.SOCK_DGRAM) as one:
        one.sendmsg([b"hello"], [], 0, (ELSEWHERE, 53))


def old_name():
    socket.gethostbyname("kie.example")


def back():
    socket.gethostbyaddr(ELSEWHERE)


def name():
    socket.getaddrinfo("kie.example", 443)


def library():
    httpx.get(f"https://{ELSEWHERE}/", timeout=1)


def loop():
    asyncio.run(asyncio.open_connection(ELSEWHERE, 443))


def unnoticed():
    with contextlib.suppress(BaseException):
        connect()


def thread():
    one = threading.Thread(target=unnoticed)
    one.start()
    one.join()


async def asked():
    http = Http(f"https://{ELSEWHERE}", None, version="1")
    with contextlib.suppress(ReadFailed):
        await http.ask(Request("GET", "/ask"), seconds=1)
    await http.close()


async def created():
    http = Http("https://kie.example", None, version="1")
    with contextlib.suppress(NotSent):
        await http.create(Request("POST", "/create", content=b"{}"), seconds=1)
    await http.close()


WAYS = [
    connect, connect_ex, datagram, message, name, old_name, back, library, loop, thread,
    lambda: asyncio.run(asked()), lambda: asyncio.run(created()),
]  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_no_way_leads_to_another_machine(this_machine_only, way):
    """Whoever catches the failure, it is noted, and the end of the test fails."""
    with contextlib.suppress(BaseException):
        way()

    assert set(this_machine_only) in ({ELSEWHERE}, {"kie.example"})
    this_machine_only.clear()


def test_this_machine_is_reached():
    """By address, by name, and by a path."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        socket.create_connection(("127.0.0.1", port)).close()
        socket.create_connection(("localhost", port)).close()


SECRETLY = """
import socket

def test_secretly():
    try:
        socket.create_connection(("192.0.2.1", 443), 1)
    except BaseException:
        pass
"""


def test_a_name_that_is_nobodys_is_unknown():
    """The system's resolver is not asked: it would ask others."""
    with pytest.raises(socket.gaierror):
        socket.getaddrinfo("nothing.invalid", 443)


def test_an_attempt_that_nobody_noticed_fails_its_test(tmp_path, request):
    """In a suite of its own, with this guard."""
    tmp_path.joinpath("conftest.py").write_bytes(request.config.rootpath.joinpath("conftest.py").read_bytes())
    tmp_path.joinpath("test_it.py").write_text(SECRETLY)

    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert "a test tried to reach 192.0.2.1" in run.stdout
    assert "1 passed, 1 error" in run.stdout
