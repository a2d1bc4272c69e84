"""What the tests of the network share: requests, and servers that answer badly."""

from __future__ import annotations

import asyncio

from kie_core._jobs.job import Request
from kie_core._network.http import Http
from kie_core._secret import Secret

KEY = "0123456789abcdef0123456789abcdef"
CREATE = Request("POST", "/create", content=b'{"a":1}')
ASK = Request("GET", "/ask", {"taskId": "t/1 ü&a=%2B+"})


def client(url, **arguments):
    return Http(url, Secret(KEY), version="1.0", **arguments)


def says(content):
    async def behave(reader, writer):
        writer.write(content)

    return behave


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


async def turns(number):
    """Let the loop turn, however long that takes on this machine."""
    for _ in range(number):
        await asyncio.sleep(0)
