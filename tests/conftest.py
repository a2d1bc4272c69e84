"""Real peers for the core's tests: a server that misbehaves on the wire, plugins as distributions, and databases."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import signal
import socket
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from urllib.parse import urlsplit

import pytest

# Who starts us in a shell's background, or with nohup, has us ignore these, and so would every program of a test.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if os.name == "posix" and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

# kie_core itself is imported where it is used: the tests of packaging run without it.
# Read here: no test sees a variable of ours.
POSTGRES = os.environ.get("KIE_TEST_POSTGRES") or "postgresql://postgres@127.0.0.1:5432/postgres"
KEY = os.environ.get("KIE_API_KEY", "")
REAL_TESTS = os.environ.get("KIE_REAL_TESTS") == "1"
STATE_DIR = os.environ.get("KIE_STATE_DIR")
POSTGRES_REQUIRED = bool(os.environ.get("KIE_TEST_POSTGRES_REQUIRED"))


class Place:
    """Where the real tests buy: the sandbox, or Kie itself. One budget and one ledger for all of a module.

    At Kie the ledger is the user's own, so nothing that is paid is lost, and the limits hold over all runs.
    """

    def __init__(self, settings, *, interval, creates):
        from kie_core import Budget
        from kie_core.generator import MAX_PRICE_RUB, MAX_TOTAL_BUDGET_RUB

        self.settings, self.interval, self.creates = settings, interval, creates
        self.budget = Budget(MAX_PRICE_RUB, MAX_TOTAL_BUDGET_RUB, scope="real-tests")

    def generator(self, **how):
        from kie_core.generator import KieGenerator

        return KieGenerator(**self.settings, budget=self.budget, **how)

    def client_v3(self):
        from kie_core.client_v3 import KieApiClient

        return KieApiClient(**self.settings, budget=self.budget)


@contextlib.contextmanager
def haste():
    import stamina

    with pytest.MonkeyPatch.context() as monkeypatch, stamina.set_testing(True, attempts=100, cap=True):
        monkeypatch.setattr("kie_core._pace.Curve.after", lambda *_: 0.02)
        monkeypatch.setattr("kie_core._dispatch.sandbox.SPEED", 4000.0)
        monkeypatch.setattr("kie_core._network.http.GRACE_SECONDS", 0.05)
        yield


@pytest.fixture
def in_haste():
    """For tests of what happens, and not of when: a fake vendor makes in a moment what takes Kie minutes."""
    with haste():
        yield


@pytest.fixture(scope="module", params=["sandbox", "real"])
def place(request, tmp_path_factory):
    if request.param == "real":
        if not (KEY and REAL_TESTS):
            pytest.skip("costs money: KIE_REAL_TESTS=1 and KIE_API_KEY run it at Kie itself")
        from kie_core._config import default_ledger

        ledger = default_ledger({} if STATE_DIR is None else {"KIE_STATE_DIR": STATE_DIR})
        yield Place({"api_key": KEY, "ledger": str(ledger)}, interval=3.0, creates=lambda: None)
        return
    missing = [name for name in PLUGINS_OF_REAL_TESTS if find_spec(name) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}")
    from kie_sandbox import Sandbox, serve

    sandbox = Sandbox(speed=400)
    with serve(sandbox=sandbox) as url, haste():
        ledger = str(tmp_path_factory.mktemp("sandbox") / "ledger.sqlite")
        settings = {"api_key": "sandbox", "base_url": url, "ledger": ledger}
        yield Place(settings, interval=0.05, creates=lambda: len(sandbox.creates))


PLUGINS_OF_REAL_TESTS = (
    "kie_sandbox", "kie_4o_image", "kie_flux_kontext", "kie_suno", "kie_veo3", "kie_runway", "kie_legacy_v3",
)  # fmt: skip


class RawServer:
    """A loopback server that answers with the bytes that a test wants, and keeps what it was sent."""

    def __init__(self):
        self.received = []
        self.connections = 0
        self.url = ""
        self._handlers = set()

    @property
    def open(self):
        """How many connections the other side has not closed."""
        return sum(not handler.done() for handler in self._handlers)

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
def closed_port():
    """A port on which nobody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


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

    def add(name, entries, modules, *, models=None, version="1.0", group="kie_core.plugins", summary="a test plugin"):
        """With *models* the modules are packages that hold them in a file."""
        folder = tmp_path / f"site-{len(installed)}"
        metadata = folder / f"{name.replace('-', '_')}-{version}.dist-info"
        metadata.mkdir(parents=True)
        metadata.joinpath("METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nSummary: {summary}\n"
        )
        lines = [f"[{group}]", *(f"{key} = {value}" for key, value in entries.items())]
        metadata.joinpath("entry_points.txt").write_text("\n".join(lines))
        for module, source in modules.items():
            if models is not None:
                folder.joinpath(module).mkdir()
                folder.joinpath(module, "kie_models.json").write_text(
                    models if isinstance(models, str) else json.dumps({"models": models})
                )
            folder.joinpath(f"{module}.py" if models is None else f"{module}/__init__.py").write_text(
                textwrap.dedent(source)
            )
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


class FakeKie:
    """Answers creates and queries of the acme plugin; counts creates, which is what costs money."""

    key = "0123456789abcdef0123456789abcdef"
    png = b"\x89PNG\r\n\x1a\n" + b"\0" * 50

    def __init__(self, server, http_bytes):
        self.server, self.http_bytes = server, http_bytes
        self.create = None  # every create gets a task of its own, as at Kie
        self.queries = [{"state": "running"}, {"state": "succeeded"}]
        self.arrived, self.go_on = asyncio.Event(), asyncio.Event()  # a create came; it may be answered
        self.go_on.set()

    async def answer(self, reader, writer):
        request = self.server.received[-1]
        if request.startswith(b"POST"):
            self.arrived.set()
            await self.go_on.wait()
        if request.startswith(b"POST /acme/create"):
            made = {"code": 200, "msg": "success", "data": {"taskId": f"t{self.creates}"}}
            body = self.create or made
        elif request.startswith(b"GET /api/v1/chat/credit"):
            body = {"code": 200, "msg": "success", "data": 12.5}
        elif request.startswith(b"GET /files/"):
            writer.write(self.http_bytes(self.png))
            return
        else:
            data = self.queries.pop(0) if len(self.queries) > 1 else self.queries[0]
            if data.get("state") == "succeeded":
                data = {**data, "urls": [f"{self.server.url}/files/a.png"]}
            body = data if "code" in data else {"code": 200, "msg": "success", "data": data}
        writer.write(self.http_bytes(body if isinstance(body, bytes) else json.dumps(body)))

    def client(self, **arguments):
        """A client of it that asks at once, and need not wait for its turn."""
        from kie_core import Kie, Schedule

        settings = {"base_url": self.server.url, "creates_per_10_seconds": 10_000, **arguments}
        return Kie(self.key, **{"schedule": Schedule(first=0.01, longest=0.02), **settings})

    @property
    def creates(self):
        return sum(request.startswith(b"POST") for request in self.server.received)


@pytest.fixture
async def fake_vendor(raw_server, http_bytes):
    """A fake Kie for the acme plugin, whoever installs that."""
    made = FakeKie(raw_server, http_bytes)
    async with raw_server.answering(made.answer):
        yield made


@pytest.fixture
async def fake(fake_vendor, acme):
    """A fake Kie, and the acme plugin."""
    return fake_vendor


def sql_of_a_person(url, text):
    """Carry out what an administrator would type, and return the rows."""
    asyncpg = pytest.importorskip("asyncpg")

    async def carry_out():
        connection = await asyncpg.connect(url, timeout=10, statement_cache_size=0)
        try:
            return await connection.fetch(text)
        finally:
            await connection.close()

    with ThreadPoolExecutor(1) as thread:  # the caller may have a loop of its own
        return thread.submit(lambda: asyncio.run(carry_out())).result()


@pytest.fixture(scope="session")
def postgres():
    """The URL of a Postgres server: of ``KIE_TEST_POSTGRES``, or on this machine."""
    try:
        sql_of_a_person(POSTGRES, "SELECT 1")
    except (Exception, pytest.skip.Exception) as error:
        reason = f"no Postgres at {urlsplit(POSTGRES).hostname} ({type(error).__name__}); KIE_TEST_POSTGRES names one"
        if POSTGRES_REQUIRED:
            pytest.fail(reason)
        pytest.skip(reason)
    return POSTGRES


@pytest.fixture
def postgres_place(postgres):
    """A ledger's URL with a schema of its own, which is not there yet, and will be gone."""
    schema = f"kie_test_{secrets.token_hex(6)}"
    yield f"{postgres}{'&' if '?' in postgres else '?'}search_path={schema}"
    sql_of_a_person(postgres, f"DROP SCHEMA IF EXISTS {schema} CASCADE")


def open_place(place):
    """Return a ledger's database by its path or URL."""
    if "://" in str(place):
        from kie_core._ledger.postgres import PostgresDatabase

        return PostgresDatabase(place)
    from kie_core._ledger.sqlite import SqliteDatabase

    return SqliteDatabase(str(place))


@pytest.fixture(name="open_place")
def open_place_fixture():
    return open_place


@pytest.fixture(params=["file", "postgres"])
def shared_place(request, tmp_path):
    """Where several processes find one ledger."""
    return tmp_path / "ledger.sqlite" if request.param == "file" else request.getfixturevalue("postgres_place")


@pytest.fixture(params=["file", "memory", "postgres"])
async def ledger(request, tmp_path):
    """An empty ledger, in every database that there is."""
    place = {"file": tmp_path / "ledger.sqlite", "memory": "memory:"}.get(request.param)
    from kie_core._ledger.ledger import Ledger

    opened = Ledger(open_place(place or request.getfixturevalue("postgres_place")))
    yield opened
    await opened.close()


@pytest.fixture
async def two_ledgers(shared_place):
    """One ledger as two processes see it."""
    from kie_core._ledger.ledger import Ledger

    opened = Ledger(open_place(shared_place)), Ledger(open_place(shared_place))
    yield opened
    for one in opened:
        await one.close()


@pytest.fixture(params=["httpx", "aiohttp"])
def library(request):
    """Who carries questions."""
    return request.param
