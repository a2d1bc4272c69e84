"""A vendor that does nothing but answer, on a core of its own: fast enough that the client is what is measured.

It speaks what the clients of this folder ask for: submits, questions, a file to fetch and a place to upload one.
Nothing ever gets ready, but for tasks that are called ``made-<MiB>``.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any, Final, cast

import httptools

from benchmarks.machine import pin, quiet_environment

#: Bytes of the answer to every question, whoever asks: what Kie's record of a running job has.
RECORD_BYTES: Final = 639
#: What a file begins with; then come zeros.
PNG: Final = b"\x89PNG\r\n\x1a\n"
_CHUNK: Final = bytes(256 * 1024)
_MIB: Final = 1024 * 1024


def padded(record: dict[str, Any], place: dict[str, Any], field: str) -> bytes:
    """Return *record* as JSON of `RECORD_BYTES` bytes; text is put into ``place[field]``, somewhere inside of it."""
    place[field] = ""
    place[field] = "a fox in the snow, " * 40
    place[field] = place[field][: RECORD_BYTES - len(json.dumps(record)) + len(place[field])]
    return json.dumps(record).encode()


def kie_record(task_id: str) -> bytes:
    """Return Kie's record of a task that goes on."""
    data: dict[str, Any] = {
        "taskId": task_id, "model": "nano-banana-pro", "state": "generating", "param": "", "resultJson": "",
        "failCode": None, "failMsg": None, "costTime": None, "completeTime": None, "createTime": 1757584164490,
    }  # fmt: skip
    return padded({"code": 200, "msg": "success", "data": data}, data, "param")


def _made_record(task_id: str, url: str) -> bytes:
    data = {
        "taskId": task_id, "model": "nano-banana-pro", "state": "success", "param": "{}", "failCode": None,
        "resultJson": json.dumps({"resultUrls": [f"{url}/file/{task_id.removeprefix('made-')}"]}),
        "createTime": 1757584164490, "completeTime": 1757584187490,
    }  # fmt: skip
    return json.dumps({"code": 200, "msg": "success", "data": data}).encode()


def _fal_status(_: str) -> bytes:
    record: dict[str, Any] = {"status": "IN_PROGRESS", "logs": None, "metrics": {}}
    return padded(record, record["metrics"], "note")


def _replicate_prediction(task_id: str) -> bytes:
    record: dict[str, Any] = {
        "id": task_id, "model": "acme/fox", "version": "1", "input": {"prompt": ""}, "output": None, "logs": "",
        "error": None, "status": "processing", "created_at": "2026-11-20T10:00:00Z", "data_removed": False,
        "urls": {"get": "http://127.0.0.1", "cancel": "http://127.0.0.1"},
    }  # fmt: skip
    return padded(record, record["input"], "prompt")


def _runway_task(task_id: str) -> bytes:
    record: dict[str, Any] = {
        "id": task_id, "status": "RUNNING", "createdAt": "2026-11-20T10:00:00Z", "progress": 0.5,
        "estimatedCost": {"credits": 5},
    }  # fmt: skip
    return padded(record, record, "note")


#: A question's path, with the task id in it -> what is answered.
_QUESTIONS: Final[tuple[tuple[re.Pattern[bytes], Callable[[str], bytes]], ...]] = (
    (re.compile(rb"/api/v1/jobs/recordInfo\?taskId=([\w-]+)"), kie_record),
    (re.compile(rb"/acme/fox/requests/([\w-]+)/status"), _fal_status),
    (re.compile(rb"/v1/predictions/([\w-]+)"), _replicate_prediction),
    (re.compile(rb"/v1/tasks/([\w-]+)"), _runway_task),
)


class Vendor:
    """What the vendor knows: how much it was asked, about what, and how long after its last answer about that."""

    def __init__(self, latency: float) -> None:
        self.latency = latency
        self.url = ""
        self.creates = 0
        self._numbers = itertools.count(1)  # no task has the id of another, whatever was forgotten
        self.polls = 0
        self._tasks: set[str] = set()
        self._answered: dict[str, float] = {}
        self._gaps: list[float] = []
        self._questions: dict[bytes, tuple[str, bytes]] = {}

    def answer(self, method: bytes, path: bytes) -> bytes:
        """Return the body of an answer, to everything but files and uploads."""
        if method == b"GET":
            task_id, body = self._questions.get(path) or self._question(path)
            if task_id:
                self.polls += 1
                self._tasks.add(task_id)
                before = self._answered.get(task_id)
                now = time.monotonic()
                if before is not None:
                    self._gaps.append(now - before)
                self._answered[task_id] = now + self.latency
            return body or self._seen()
        if path == b"/forget":
            self.creates = self.polls = 0
            self._tasks.clear()
            self._gaps = []
            return b"{}"
        self.creates += 1
        return self._created(f"t{next(self._numbers):08d}", path)

    def _question(self, path: bytes) -> tuple[str, bytes]:
        for pattern, record in _QUESTIONS:
            found = pattern.match(path)
            if found is not None:
                task_id = found[1].decode()
                body = _made_record(task_id, self.url) if task_id.startswith("made-") else record(task_id)
                self._questions[path] = task_id, body
                return task_id, body
        return "", b""

    def _created(self, task_id: str, path: bytes) -> bytes:
        if path.startswith(b"/api/v1/"):
            return json.dumps({"code": 200, "msg": "success", "data": {"taskId": task_id}}).encode()
        if path.startswith(b"/acme/fox"):
            url = f"{self.url}/acme/fox/requests/{task_id}"
            urls = {"response_url": url, "status_url": f"{url}/status", "cancel_url": f"{url}/cancel"}
            return json.dumps({"request_id": task_id, **urls}).encode()
        if path.startswith(b"/v1/text_to_image"):
            return json.dumps({"id": task_id}).encode()
        return _replicate_prediction(task_id)

    def _seen(self) -> bytes:
        seen = {"creates": self.creates, "polls": self.polls, "tasks": len(self._tasks), "gaps": self._gaps}
        return json.dumps(seen).encode()


class _Connection(asyncio.Protocol):
    def __init__(self, vendor: Vendor) -> None:
        self._vendor = vendor
        self._parser = httptools.HttpRequestParser(self)
        self._path = b""
        self._writable = asyncio.Event()
        self._writable.set()
        self._sending: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)  # uvloop's has another base

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        if self._sending is not None:
            self._sending.cancel()

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def on_url(self, url: bytes) -> None:
        self._path = url

    def on_message_complete(self) -> None:
        path, vendor = self._path, self._vendor
        if path.startswith(b"/file/"):
            self._sending = asyncio.ensure_future(self._send(int(path[6:]) * _MIB))
        elif path.startswith(b"/api/file-stream-upload"):
            stored = {"success": True, "downloadUrl": f"{vendor.url}/file/1"}
            self._write(json.dumps({"success": True, "code": 200, "msg": "", "data": stored}).encode())
        else:
            body = vendor.answer(self._parser.get_method(), path)
            if vendor.latency:
                asyncio.get_running_loop().call_later(vendor.latency, self._write, body)
            else:
                self._write(body)

    def _write(self, body: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
            )

    async def _send(self, size: int) -> None:
        self._transport.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: %d\r\n\r\n%b" % (size, PNG)
        )
        left = size - len(PNG)
        while left:
            await self._writable.wait()
            self._transport.write(_CHUNK if left >= len(_CHUNK) else _CHUNK[:left])
            left -= min(left, len(_CHUNK))


async def _serve(latency: float) -> None:
    vendor = Vendor(latency)
    server = await asyncio.get_running_loop().create_server(lambda: _Connection(vendor), "127.0.0.1", 0, backlog=4096)
    vendor.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    print(vendor.url, flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)  # whoever started us has ended


def main() -> None:
    """Serve until standard input ends."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--latency", type=float, default=0.0, help="seconds before every answer")
    latency = arguments.parse_args().latency
    pin("vendor")
    try:
        import uvloop
    except ImportError:
        asyncio.run(_serve(latency))
    else:
        uvloop.run(_serve(latency))


class Address:
    """Where a running vendor is, and what it has seen."""

    def __init__(self, url: str) -> None:
        self.url = url

    def seen(self) -> dict[str, Any]:
        """Return how many ``creates`` and ``polls`` came, about how many ``tasks``, and after which ``gaps``.

        A gap is the time between an answer and the next question about the same task.
        """
        with urllib.request.urlopen(f"{self.url}/seen") as answer:
            seen: dict[str, Any] = json.loads(answer.read())
            return seen

    def forget(self) -> None:
        """Count anew. When each task was last answered stays known."""
        urllib.request.urlopen(f"{self.url}/forget", data=b"{}").close()


@contextlib.contextmanager
def running_vendor(latency: float = 0.0) -> Iterator[Address]:
    """Run a vendor in a process of its own.

    Raises:
        ModuleNotFoundError: The packages of the benchmarks are not installed.
    """
    if find_spec("httptools") is None:
        raise ModuleNotFoundError("httptools is missing; try: uv sync --group benchmarks")
    command = [sys.executable, "-m", "benchmarks.vendor", "--latency", str(latency)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=quiet_environment()
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            url = process.stdout.readline().strip()
            if not url:
                raise RuntimeError("the vendor of the benchmarks did not start")
            yield Address(url)
        finally:
            process.stdin.close()


if __name__ == "__main__":
    main()
