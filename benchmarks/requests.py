"""What a submit and a poll cost, by how many are in flight."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from benchmarks.clients import AIOHTTP, CLIENTS, FLOOR, OUR_TRANSPORT, OURS, OURS_AIOHTTP, STACK, Calls
from benchmarks.page import Answer, Table, absent, bars
from benchmarks.rounds import Run, middle, ratio
from benchmarks.vendor import Address, running_vendor

IN_FLIGHT: Final = (1, 32, 256)
#: Seconds between two ticks: what is due within one, ours asks about together.
TICK: Final = 0.05
_SAFETY: Final = (
    "A submit of ours is dominated by safety, and meant to be: the job and its price are in the ledger before a byte "
    "is sent, the create goes out once, on a connection of its own, and the task id is on the disk before anything "
    "else happens. Kie admits two creates a second."
)


def answer(run: Run) -> Answer:
    """Ask the question."""
    missing = {name: client.missing for name, client in CLIENTS.items() if client.missing}
    cases = [name for name in CLIENTS if name not in missing]
    in_flight = IN_FLIGHT[:2] if run.quick else IN_FLIGHT
    with running_vendor() as vendor:
        found = run.interleaved(
            __name__, cases, run.count(3), url=vendor.url, in_flight=in_flight, seconds=0.1 if run.quick else 0.5
        )
    floor = found[FLOOR]
    tables = []
    for number in in_flight:
        ticks, polls, submits = f"tick {number}", f"poll {number}", f"submit {number}"
        rows = [
            (
                name, ratio(of, floor, f"{ticks} cpu"), middle(of, f"{ticks} cpu"),
                ratio(of, floor, f"{polls} cpu"), middle(of, f"{polls} cpu"), middle(of, f"{polls} rate"),
                ratio(of, floor, f"{submits} cpu"), middle(of, f"{submits} cpu"), middle(of, f"{submits} rate"),
                middle(of, "memory"),
            )
            for name, of in found.items()
        ]  # fmt: skip
        rows.sort(key=lambda row: row[1] or 0)
        columns = (
            "client", "on ticks, x floor", "CPU us", "poll, x floor", "CPU us", "polls/s", "submit, x floor", "CPU us",
            "submits/s", "peak MiB",
        )  # fmt: skip
        tables.append(Table(columns, [*rows, *absent(missing, columns)], f"{number} in flight"))
    plot = {name: ratio(of, floor, "tick 32 cpu") for name, of in found.items()}
    return Answer(
        "What a submit and a poll cost",
        f"CPU of the whole client process for one request, and as a multiple of the floor, {FLOOR}. Every client "
        "encodes the same payload, sends an Authorization header, checks the status, decodes 639 bytes of JSON and "
        f"takes one field. On ticks: all that are free ask every {1000 * TICK:g} ms, and nothing happens in between. "
        "Thus `Task.wait` and `Kie.drive` ask, and a processor that has rested is slower: whoever is compared with "
        "them rests as long. Poll: each asks again at once, as `Task.status` does for a program that asks by itself; "
        "that one looks into the ledger too.",
        tables,
        {"performance-poll.svg": bars(plot, unit="CPU of a poll on ticks, 32 at once, times the floor")},
        {
            "poll over stack": ratio(found[OURS], found[STACK], "tick 32 cpu") if OURS in found else None,
            "transport over stack": ratio(found[OUR_TRANSPORT], found[STACK], "poll 32 cpu"),
            "aiohttp poll over httpx-aiohttp": (
                ratio(found[OURS_AIOHTTP], found[AIOHTTP], "tick 32 cpu") if OURS_AIOHTTP in found else None
            ),
        },
        (
            _SAFETY,
            "With 32 places for questions, ours has at most 32 in flight; the others of 256 wait without cost.",
            "The table's first client is also how fast the vendor answers: it is the limit of that client alone.",
        ),
    )


def measure(case: str, url: str, in_flight: list[int], seconds: float) -> dict[str, float]:
    """Measure one client, in this process."""
    return asyncio.run(_measured(case, url, in_flight, seconds))


async def _measured(case: str, url: str, in_flight: list[int], seconds: float) -> dict[str, float]:
    found: dict[str, float] = {}
    async with CLIENTS[case].open(url) as calls:
        for number in in_flight:
            for name, call in _kinds(calls):
                cpu, rate = await _cost(call, number, seconds)
                found |= {f"{name} {number} cpu": cpu, f"{name} {number} rate": rate}
            async with calls.wait(number) if calls.wait is not None else _on_ticks(calls.poll, number):
                found[f"tick {number} cpu"] = await _cost_of_waiting(Address(url), 2 * seconds)
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found["memory"] = most / (1024 * 1024 if sys.platform == "darwin" else 1024)
    return found


def _kinds(calls: Calls) -> list[tuple[str, Callable[[int], Awaitable[str]]]]:
    kinds: list[tuple[str, Callable[[int], Awaitable[str]]]] = []
    submit = calls.submit
    if calls.wait is None:
        kinds.append(("poll", lambda worker: calls.poll(f"w{worker:04d}")))
    if submit is not None:
        kinds.append(("submit", lambda _: submit()))
    return kinds


async def _cost(call: Callable[[int], Awaitable[str]], in_flight: int, seconds: float) -> tuple[float, float]:
    """Return the microseconds of CPU for one call, and the calls a second, with so many in flight all the time."""
    await asyncio.gather(*(call(worker) for worker in range(in_flight)))  # connections are made, tasks are known
    done = 0
    end = time.perf_counter() + seconds

    async def work(worker: int) -> None:
        nonlocal done
        while time.perf_counter() < end:
            await call(worker)
            done += 1

    started, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(work(worker) for worker in range(in_flight)))
    cpu, wall = time.process_time() - cpu, time.perf_counter() - started
    return cpu / done * 1e6, done / wall


@contextlib.asynccontextmanager
async def _on_ticks(poll: Callable[[str], Awaitable[str]], in_flight: int) -> AsyncIterator[None]:
    """Ask as ours does that waits: at each tick about all of which there is an answer."""
    tick = asyncio.Event()
    over = False

    async def work(worker: int) -> None:
        while True:
            await tick.wait()
            if over:
                return
            await poll(f"w{worker:04d}")

    async def beat() -> None:
        while not over:
            await asyncio.sleep(TICK - time.monotonic() % TICK)
            tick.set()
            if not over:
                tick.clear()

    async with asyncio.TaskGroup() as group:
        for one in (beat(), *(work(worker) for worker in range(in_flight))):
            group.create_task(one)
        yield
        over = True


async def _cost_of_waiting(vendor: Address, seconds: float) -> float:
    """Return the microseconds of CPU for one question, while nothing else is done."""
    await asyncio.sleep(seconds / 2)  # connections are made, and nothing is new any more
    await asyncio.to_thread(vendor.forget)
    cpu = time.process_time()
    await asyncio.sleep(seconds)
    cpu = time.process_time() - cpu
    polls: int = (await asyncio.to_thread(vendor.seen))["polls"]
    return cpu / max(1, polls) * 1e6
