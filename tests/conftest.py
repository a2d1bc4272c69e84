"""Real peers for the core's tests: a server that misbehaves on the wire, and plugins as installed distributions."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import textwrap

import pytest


class RawServer:
    """A loopback server that answers with the bytes that a test wants, and keeps what it was sent."""

    def __init__(self):
        self.received = []
        self.connections = 0
        self.url = ""
        self._handlers = set()

    @contextlib.asynccontextmanager
    async def answering(self, behave):
        """Serve with *behave(reader, writer)*, called for each request after it was read whole."""

        async def connection(reader, writer):
            self.connections += 1
            self._handlers.add(asyncio.current_task())
            try:
                while head := await reader.readuntil(b"\r\n\r\n"):
                    length = next(
                        (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")),
                        0,
                    )
                    self.received.append(head + await reader.readexactly(length))
                    await behave(reader, writer)
                    await writer.drain()
            except (asyncio.IncompleteReadError, ConnectionError):
                pass
            finally:
                writer.close()

        server = await asyncio.start_server(connection, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()
            for handler in self._handlers:
                handler.cancel()
            await asyncio.gather(*self._handlers, return_exceptions=True)


def http(body, *, status="200 OK", headers=""):
    """Return the bytes of an HTTP answer."""
    content = body if isinstance(body, bytes) else body.encode()
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(content)}\r\n{headers}\r\n".encode() + content


@pytest.fixture
def raw_server():
    return RawServer()


@pytest.fixture
def http_bytes():
    return http


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install a distribution as pip would: files, metadata and entry points in a folder on the path."""
    installed = []

    def add(name, entries, modules, *, version="1.0", group="kie_core.plugins", summary="a test plugin"):
        folder = tmp_path / f"site-{len(installed)}"
        metadata = folder / f"{name.replace('-', '_')}-{version}.dist-info"
        metadata.mkdir(parents=True)
        metadata.joinpath("METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nSummary: {summary}\n"
        )
        lines = [f"[{group}]", *(f"{key} = {value}" for key, value in entries.items())]
        metadata.joinpath("entry_points.txt").write_text("\n".join(lines))
        for module, source in modules.items():
            folder.joinpath(f"{module}.py").write_text(textwrap.dedent(source))
            installed.append(module)
        monkeypatch.syspath_prepend(str(folder))
        return folder

    yield add
    for module in installed:
        sys.modules.pop(module, None)


ACME = """
from kie_core import Endpoint, Outcome, Artifact, hookimpl, record

ENDPOINTS = {"dedicated": Endpoint(create="/acme/create", query="/acme/query", drops={"lost": "it has no place"})}

def register_models():
    return [{
        "model_id": "acme-sketch", "title": "Acme Sketch", "api_category": "acme", "output_type": "image/png",
        "rub_per_use": 1.5,
        "input_schema": {"required": ["prompt"], "properties": {
            "prompt": {"type": "string"}, "lost": {"type": "string"}, "tags": {"type": "array"}}},
    }]

@hookimpl
def endpoint_for(job):
    return ENDPOINTS[job.wire]

@hookimpl
def build_payload(job):
    return {"text": job.params["prompt"]}

@hookimpl
def parse_result(job, body):
    data = record(body)
    return Outcome(data["state"], tuple(Artifact("image", url) for url in data.get("urls", ())))
"""


@pytest.fixture
def acme(install):
    """A category plugin of an outsider, with one model."""
    install("kie-acme", {"acme": "kie_acme_test"}, {"kie_acme_test": ACME})
    return "acme-sketch"


@pytest.fixture
def acme_source():
    return ACME
