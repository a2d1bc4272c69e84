"""What a large file costs: down to the disk, and up from it."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import socket
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final
from urllib.parse import urlsplit

from benchmarks.clients import KEY, ROOM, handle_of
from benchmarks.machine import memory
from benchmarks.page import Answer, Table
from benchmarks.rounds import Run, least, middle, ratio
from benchmarks.vendor import PNG, running_vendor

FLOOR: Final = "a blocking socket in a thread"
BLOCKING: Final = "httpx, blocking, in a thread"
HASHED: Final = "the same, with SHA-256"
ASYNC: Final = "httpx, in the event loop"
OURS: Final = "kie-core"
_CASES: Final = (FLOOR, BLOCKING, HASHED, ASYNC, OURS)
_MIB: Final = 1024 * 1024
#: Seconds between two looks of the ticker that feels how long the event loop was busy with something else.
_TICK: Final = 0.005
_DOWN: Final = "down"
_UP: Final = "up"


def answer(run: Run) -> Answer:
    """Ask the question."""
    mib = 32 if run.quick else 256
    cases = [f"{way}: {case}" for way in (_DOWN, _UP) for case in _CASES]
    with running_vendor() as vendor:
        found = run.interleaved(__name__, cases, run.count(3), url=vendor.url, mib=mib)
    tables: list[Table] = []
    figures: dict[str, float | None] = {}
    for way, name in ((_DOWN, "download"), (_UP, "upload")):
        base, hashed, floor, ours = (found[f"{way}: {case}"] for case in (BLOCKING, HASHED, FLOOR, OURS))
        rows: list[tuple[Any, ...]] = []
        for case in _CASES:
            of = found[f"{way}: {case}"]
            rows.append(
                (
                    case, ratio(of, floor, "cpu"), ratio(of, base, "cpu"), ratio(of, hashed, "cpu"), middle(of, "cpu"),
                    middle(of, "speed"), least(of, "stall"), middle(of, "memory"),
                )
            )  # fmt: skip
        columns = (
            name, "x floor", "x httpx, blocking", "x the same, hashed", "CPU s/GiB", "MiB/s", "stall ms", "memory MiB",
        )  # fmt: skip
        tables.append(Table(columns, rows))
        figures |= {
            f"{name} cpu": ratio(ours, hashed, "cpu"),
            f"{name} stall": least(ours, "stall"),
            f"{name} memory": middle(ours, "memory"),
        }
    return Answer(
        f"A file of {mib} MiB",
        "From loopback to a file, and back. Stall is the longest time for which a ticker in the same event loop had to "
        "wait beyond its 5 ms, in the best round; memory what the process held more at the worst. Ours checks the type "
        "of what comes, hashes and counts it, and names the file only when it is whole; an upload is read and hashed "
        "twice, because its hash comes first. The others do nothing but write, or read, without a buffer.",
        tables,
        {},
        figures,
        ("A download in the event loop never waits on a fast link, so the loop serves nobody else meanwhile.",),
    )


def measure(case: str, url: str, mib: int) -> dict[str, float]:
    """Move one file, in this process."""
    way, _, who = case.partition(": ")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if way == _UP:
            for size in (1, mib):
                with (folder / f"{size}.png").open("wb") as file:
                    file.write(PNG)
                    file.truncate(size * _MIB)
        if who == OURS:
            return asyncio.run(_ours(way, url, mib, folder))
        return asyncio.run(_watched(_BY_HAND[way, who](url, folder), mib))


async def _watched(move: Callable[[int], Awaitable[object]], mib: int) -> dict[str, float]:
    """Move a file of one MiB, so that everything is loaded, and then the large one, with a ticker beside it."""
    await move(1)
    gc.collect()
    before, most, stall, moving = memory(), 0, 0.0, True

    async def tick() -> None:
        nonlocal stall
        while moving:
            started = time.perf_counter()
            await asyncio.sleep(_TICK)
            stall = max(stall, time.perf_counter() - started - _TICK)

    async def look() -> None:
        nonlocal most
        while moving:
            most = max(most, memory())
            await asyncio.sleep(0.05)

    beside = [asyncio.ensure_future(one) for one in (tick(), look())]
    await asyncio.sleep(3 * _TICK)
    started, cpu = time.perf_counter(), time.process_time()
    await move(mib)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - started
    most, moving = max(most, memory()), False
    await asyncio.gather(*beside)
    return {
        "cpu": cpu * 1024 / mib, "speed": mib / wall, "stall": stall * 1000, "memory": max(0, most - before) / _MIB,
    }  # fmt: skip


async def _ours(way: str, url: str, mib: int, folder: Path) -> dict[str, float]:
    from kie_core import Kie

    async with Kie(KEY, base_url=url, upload_url=url, ledger="memory:", **ROOM) as kie:

        async def save(size: int) -> None:
            await kie.attach(handle_of(f"made-{size}")).save(folder)

        async def upload(size: int) -> None:
            await kie.upload(folder / f"{size}.png", reuse=False)

        return await _watched(save if way == _DOWN else upload, mib)


# --- by hand ---------------------------------------------------------------------------

_Move = Callable[[int], Awaitable[object]]


def _socket_down(url: str, folder: Path) -> _Move:
    place = urlsplit(url)

    def fetch(mib: int) -> None:
        block = memoryview(bytearray(256 * 1024))
        with socket.create_connection((place.hostname, place.port)) as one, _sink(folder) as file:
            one.sendall(f"GET /file/{mib} HTTP/1.1\r\nHost: {place.netloc}\r\nConnection: close\r\n\r\n".encode())
            size = one.recv_into(block)
            begin = bytes(block[:size]).index(b"\r\n\r\n") + 4
            left = mib * _MIB - file.write(block[begin:size])
            while left:
                left -= file.write(block[: one.recv_into(block)])

    return lambda mib: asyncio.to_thread(fetch, mib)


def _httpx_down(url: str, folder: Path, *, hashed: bool = False) -> _Move:
    import httpx

    client = httpx.Client(headers={"Accept-Encoding": "identity"}, timeout=None)

    def fetch(mib: int) -> None:
        whole = hashlib.sha256()
        with client.stream("GET", f"{url}/file/{mib}") as answer, _sink(folder) as file:
            for chunk in answer.iter_raw():
                if hashed:
                    whole.update(chunk)
                file.write(chunk)

    return lambda mib: asyncio.to_thread(fetch, mib)


def _httpx_down_hashed(url: str, folder: Path) -> _Move:
    return _httpx_down(url, folder, hashed=True)


def _httpx_down_in_loop(url: str, folder: Path) -> _Move:
    import httpx

    client = httpx.AsyncClient(headers={"Accept-Encoding": "identity"}, timeout=None)

    async def fetch(mib: int) -> None:
        async with client.stream("GET", f"{url}/file/{mib}") as answer:
            with _sink(folder) as file:
                async for chunk in answer.aiter_raw():
                    file.write(chunk)

    return fetch


def _sink(folder: Path) -> BinaryIO:
    return (folder / "down.png").open("wb", buffering=0)


def _pieces(path: Path, *, hashed: bool = False) -> Iterator[bytes]:
    whole = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while piece := file.read(256 * 1024):
            if hashed:
                whole.update(piece)
            yield piece


_UPLOAD: Final = "/api/file-stream-upload"


def _socket_up(url: str, folder: Path) -> _Move:
    place = urlsplit(url)

    def send(mib: int) -> None:
        with socket.create_connection((place.hostname, place.port)) as one:
            head = f"POST {_UPLOAD} HTTP/1.1\r\nHost: {place.netloc}\r\nContent-Length: {mib * _MIB}\r\n\r\n"
            one.sendall(head.encode())
            for piece in _pieces(folder / f"{mib}.png"):
                one.sendall(piece)
            one.recv(65536)

    return lambda mib: asyncio.to_thread(send, mib)


def _httpx_up(url: str, folder: Path, *, hashed: bool = False) -> _Move:
    import httpx

    client = httpx.Client(timeout=None)

    def send(mib: int) -> None:
        headers = {"Content-Length": str(mib * _MIB), "Content-Type": "image/png"}
        client.post(f"{url}{_UPLOAD}", content=_pieces(folder / f"{mib}.png", hashed=hashed), headers=headers)

    return lambda mib: asyncio.to_thread(send, mib)


def _httpx_up_hashed(url: str, folder: Path) -> _Move:
    return _httpx_up(url, folder, hashed=True)


def _httpx_up_in_loop(url: str, folder: Path) -> _Move:
    import httpx

    client = httpx.AsyncClient(timeout=None)

    async def send(mib: int) -> None:
        async def pieces() -> Any:
            for piece in _pieces(folder / f"{mib}.png"):
                yield piece

        headers = {"Content-Length": str(mib * _MIB), "Content-Type": "image/png"}
        await client.post(f"{url}{_UPLOAD}", content=pieces(), headers=headers)

    return send


_BY_HAND: Final[dict[tuple[str, str], Callable[[str, Path], _Move]]] = {
    (_DOWN, FLOOR): _socket_down,
    (_DOWN, BLOCKING): _httpx_down,
    (_DOWN, HASHED): _httpx_down_hashed,
    (_DOWN, ASYNC): _httpx_down_in_loop,
    (_UP, FLOOR): _socket_up,
    (_UP, BLOCKING): _httpx_up,
    (_UP, HASHED): _httpx_up_hashed,
    (_UP, ASYNC): _httpx_up_in_loop,
}
