"""The clients that are compared. Each does the same work: encode the payload, authorise, check the status, decode the
JSON, take one field.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import attrs

KEY: Final = "a-key-of-nobody"
MODEL: Final = "nano-banana-pro"
INPUTS: Final = {"prompt": "a fox in the snow", "aspect_ratio": "16:9", "resolution": "1K", "output_format": "png"}
PAYLOAD: Final = {"model": MODEL, "input": INPUTS}
CREATE: Final = "/api/v1/jobs/createTask"
QUERY: Final = "/api/v1/jobs/recordInfo?taskId="


@attrs.frozen
class Calls:
    """What one client can do, once it is open.

    Attributes:
        poll: Ask about a running task of that id, and return what it is.
        submit: Buy a job, and return the task id; None: this client is only looked at for its questions.
        wait: Wait for so many running jobs, about which is asked without a pause; None: its callers ask by themselves.
    """

    poll: Callable[[str], Awaitable[str]]
    submit: Callable[[], Awaitable[str]] | None = None
    wait: Callable[[int], AbstractAsyncContextManager[None]] | None = None


@attrs.frozen
class Client:
    """A client.

    Attributes:
        open: Makes its calls, of the vendor at a URL.
        needs: The modules without which it cannot run.
    """

    open: Callable[[str], AbstractAsyncContextManager[Calls]]
    needs: tuple[str, ...] = ()

    @property
    def missing(self) -> list[str]:
        """The modules that are not installed."""
        return [name for name in self.needs if find_spec(name) is None]


# --- the floor -------------------------------------------------------------------------


class _Answer:
    """One HTTP answer, as httptools reads it."""

    def __init__(self) -> None:
        self.body = b""
        self.whole = False

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.whole = True


class RawHttp:
    """HTTP by hand: asyncio's streams and httptools, one idle connection on a stack for each request in flight."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        self._host, self._port = parts.hostname, parts.port
        self._head = f"Host: {parts.netloc}\r\nAuthorization: Bearer {KEY}\r\nAccept: application/json\r\n"
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def json(self, method: str, path: str, content: bytes = b"") -> Any:
        """Send a request and return what the answer holds."""
        import httptools

        reader, writer = self._idle.pop() if self._idle else await asyncio.open_connection(self._host, self._port)
        length = f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n" if content else ""
        writer.write(f"{method} {path} HTTP/1.1\r\n{self._head}{length}\r\n".encode() + content)
        answer = _Answer()
        parser = httptools.HttpResponseParser(answer)
        while not answer.whole:
            data = await reader.read(65536)
            if not data:
                raise ConnectionError("the vendor hung up")
            parser.feed_data(data)
        self._idle.append((reader, writer))
        if parser.get_status_code() != 200:
            raise RuntimeError(f"HTTP {parser.get_status_code()}")
        return json.loads(answer.body)

    def close(self) -> None:
        for _, writer in self._idle:
            writer.close()


@contextlib.asynccontextmanager
async def raw(url: str) -> AsyncIterator[Calls]:
    http = RawHttp(url)

    async def submit() -> str:
        body = await http.json("POST", CREATE, json.dumps(PAYLOAD).encode())
        return str(body["data"]["taskId"])

    async def poll(task_id: str) -> str:
        return str((await http.json("GET", QUERY + task_id))["data"]["state"])

    yield Calls(poll, submit)
    http.close()


# --- httpx, and what others put below it -----------------------------------------------


async def _httpx_calls(url: str, transport: Any) -> AsyncIterator[Calls]:
    import httpx

    headers = {"Authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(base_url=url, headers=headers, transport=transport, timeout=None) as client:

        async def submit() -> str:
            answer = await client.post(CREATE, json=PAYLOAD)
            return str(answer.raise_for_status().json()["data"]["taskId"])

        async def poll(task_id: str) -> str:
            answer = await client.get(QUERY + task_id)
            return str(answer.raise_for_status().json()["data"]["state"])

        yield Calls(poll, submit)


@contextlib.asynccontextmanager
async def stock_httpx(url: str) -> AsyncIterator[Calls]:
    async for calls in _httpx_calls(url, None):
        yield calls


@contextlib.asynccontextmanager
async def httpx_aiohttp(url: str) -> AsyncIterator[Calls]:
    from httpx_aiohttp import AiohttpTransport

    async for calls in _httpx_calls(url, AiohttpTransport()):
        yield calls


@contextlib.asynccontextmanager
async def httpx_stack(url: str) -> AsyncIterator[Calls]:
    """The yardstick of our own transport: httpx with a pool of one connection for each request in flight."""
    import httpx

    class Body(httpx.AsyncByteStream):
        def __init__(self, inner: Any, give_back: Callable[[], None]) -> None:
            self._inner, self._give_back = inner, give_back

        def __aiter__(self) -> AsyncIterator[bytes]:
            stream: AsyncIterator[bytes] = self._inner.__aiter__()
            return stream

        async def aclose(self) -> None:
            await self._inner.aclose()
            self._give_back()

    class Stack(httpx.AsyncBaseTransport):
        def __init__(self) -> None:
            self._idle: list[httpx.AsyncHTTPTransport] = []
            self._places = asyncio.Semaphore(32)
            self._limits = httpx.Limits(max_connections=1, max_keepalive_connections=1)

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            await self._places.acquire()
            one = self._idle.pop() if self._idle else httpx.AsyncHTTPTransport(verify=False, limits=self._limits)

            def give_back() -> None:
                self._idle.append(one)
                self._places.release()

            response = await one.handle_async_request(request)
            response.stream = Body(response.stream, give_back)
            return response

        async def aclose(self) -> None:
            for one in self._idle:
                await one.aclose()

    async for calls in _httpx_calls(url, Stack()):
        yield calls


# --- the vendors' own ------------------------------------------------------------------


@contextlib.asynccontextmanager
async def fal(url: str) -> AsyncIterator[Calls]:
    import fal_client.client as fal_module

    fal_module.QUEUE_URL_FORMAT = f"{url}/"  # the host is a setting of its own, but it always says https
    client = fal_module.AsyncClient(key=KEY)

    async def submit() -> str:
        return str((await client.submit("acme/fox", INPUTS)).request_id)

    async def poll(task_id: str) -> str:
        return type(await client.status("acme/fox", task_id)).__name__

    yield Calls(poll, submit)
    await (await client._client).aclose()


@contextlib.asynccontextmanager
async def replicate(url: str) -> AsyncIterator[Calls]:
    from replicate.client import Client as Replicate

    client = Replicate(api_token=KEY, base_url=url)

    async def submit() -> str:
        return str((await client.predictions.async_create(model="acme/fox", input=INPUTS)).id)

    async def poll(task_id: str) -> str:
        return str((await client.predictions.async_get(task_id)).status)

    yield Calls(poll, submit)
    await client._async_client.aclose()


@contextlib.asynccontextmanager
async def runway(url: str) -> AsyncIterator[Calls]:
    from runwayml import AsyncRunwayML

    async with AsyncRunwayML(api_key=KEY, base_url=url, timeout=None) as client:

        async def submit() -> str:
            made = await client.text_to_image.create(model="gen4_image", prompt_text=INPUTS["prompt"], ratio="1360:768")
            return str(made.id)

        async def poll(task_id: str) -> str:
            return str((await client.tasks.retrieve(task_id)).status)

        yield Calls(poll, submit)


# --- ours ------------------------------------------------------------------------------

#: Room for any number of requests: what is measured is our cost, not Kie's limits.
ROOM: Final[dict[str, Any]] = {
    "creates_per_10_seconds": 100_000, "concurrency": 100_000, "polls_per_second": 100_000,
}  # fmt: skip
#: What ``kie-core[aiohttp]`` is switched on with.
WITH_AIOHTTP: Final[dict[str, Any]] = {"http_library": "aiohttp"}


def handle_of(task_id: str) -> str:
    """Return the handle by which a client reads a task that its ledger does not know."""
    from kie_core._jobs.job import Handle  # written by hand, it would be a copy of the format

    return Handle(f"j{task_id}", MODEL, "jobs", task_id).text


@contextlib.asynccontextmanager
async def _kie_calls(url: str, *, waits: bool = True, **settings: Any) -> AsyncIterator[Calls]:
    from kie_core import Kie, Schedule

    without_pause = Schedule(first=0.0, factor=1.0, longest=0.0)
    async with Kie(KEY, base_url=url, ledger="memory:", schedule=without_pause, **ROOM, **settings) as kie:
        tasks: dict[str, Any] = {}  # a caller waits for one task object, it is not made for each question

        async def submit() -> str:
            return str((await kie.submit(MODEL, INPUTS)).id)

        async def poll(task_id: str) -> str:
            task = tasks.get(task_id)
            if task is None:
                task = tasks[task_id] = kie.attach(handle_of(task_id))
            return str((await task.status()).state)

        @contextlib.asynccontextmanager
        async def wait(jobs: int) -> AsyncIterator[None]:
            waiting = [
                asyncio.create_task(kie.attach(handle_of(f"w{number:04d}")).wait(math.inf)) for number in range(jobs)
            ]
            yield
            for one in waiting:
                one.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

        yield Calls(poll, submit, wait) if waits else Calls(poll)


@contextlib.asynccontextmanager
async def ours(url: str) -> AsyncIterator[Calls]:
    async with _kie_calls(url) as calls:
        yield calls


@contextlib.asynccontextmanager
async def our_status(url: str) -> AsyncIterator[Calls]:
    """What a program gets that asks by itself."""
    async with _kie_calls(url, waits=False) as calls:
        yield calls


@contextlib.asynccontextmanager
async def ours_aiohttp(url: str) -> AsyncIterator[Calls]:
    async with _kie_calls(url, **WITH_AIOHTTP) as calls:
        yield calls


@contextlib.asynccontextmanager
async def ours_with_file(url: str) -> AsyncIterator[Calls]:
    """The ledger in a file, as it is unless one says otherwise; jobs that are asked about are in it."""
    from kie_core import Kie, Task

    with tempfile.TemporaryDirectory() as folder:
        async with Kie(KEY, base_url=url, ledger=str(Path(folder) / "ledger.sqlite"), **ROOM) as kie:
            tasks: dict[str, Task] = {}

            async def submit() -> str:
                return str((await kie.submit(MODEL, INPUTS)).id)

            async def poll(task_id: str) -> str:
                task = tasks.get(task_id)
                if task is None:
                    task = tasks[task_id] = await kie.submit(MODEL, INPUTS)
                return str((await task.status()).state)

            yield Calls(poll, submit)


@contextlib.asynccontextmanager
async def our_transport(url: str) -> AsyncIterator[Calls]:
    """What `Kie` asks with, and nothing above it."""
    from kie_core import __version__
    from kie_core._jobs.job import JOBS_QUERY, Request
    from kie_core._network.http import Http
    from kie_core._secret import Secret

    http = Http(url, Secret(KEY), version=__version__)

    async def poll(task_id: str) -> str:
        answer = await http.ask(Request("GET", JOBS_QUERY, {"taskId": task_id}), seconds=30.0)
        if answer.status != 200:
            raise RuntimeError(f"HTTP {answer.status}")
        return str(json.loads(answer.content)["data"]["state"])

    yield Calls(poll)
    await http.close()


FLOOR: Final = "asyncio + httptools by hand"
STACK: Final = "httpx, a pool for each request"
STOCK: Final = "httpx"
AIOHTTP: Final = "httpx + httpx-aiohttp"
OURS: Final = "kie-core"
OURS_AIOHTTP: Final = "kie-core[aiohttp]"
OUR_STATUS: Final = "kie-core, Task.status"
OURS_FILE: Final = "kie-core, Task.status, ledger in a file"
OUR_TRANSPORT: Final = "kie-core, its transport alone"

CLIENTS: Final = {
    FLOOR: Client(raw, ("httptools",)),
    STACK: Client(httpx_stack),
    STOCK: Client(stock_httpx),
    AIOHTTP: Client(httpx_aiohttp, ("httpx_aiohttp",)),
    "fal-client": Client(fal, ("fal_client",)),
    "replicate": Client(replicate, ("replicate",)),
    "runwayml": Client(runway, ("runwayml",)),
    OURS: Client(ours, ("kie_market",)),
    OUR_STATUS: Client(our_status, ("kie_market",)),
    OURS_FILE: Client(ours_with_file, ("kie_market",)),
    OUR_TRANSPORT: Client(our_transport),
    OURS_AIOHTTP: Client(ours_aiohttp, ("kie_market", "httpx_aiohttp", "kie_core._network.aiohttp")),
}
