"""What a submit and a poll cost, by how many are in flight."""

from __future__ import annotations

import asyncio
import resource
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Final

from benchmarks.clients import AIOHTTP, CLIENTS, FLOOR, OUR_TRANSPORT, OURS, OURS_AIOHTTP, STACK, Calls
from benchmarks.page import Answer, Table, absent, bars
from benchmarks.rounds import Run, middle, ratio
from benchmarks.vendor import Address, running_vendor

IN_FLIGHT: Final = (1, 32, 256)
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
        polls, submits = f"poll {number}", f"submit {number}"
        rows = [
            (
                name, ratio(of, floor, f"{polls} cpu"), middle(of, f"{polls} cpu"), middle(of, f"{polls} rate"),
                ratio(of, floor, f"{submits} cpu"), middle(of, f"{submits} cpu"), middle(of, f"{submits} rate"),
                middle(of, "memory"),
            )
            for name, of in found.items()
        ]  # fmt: skip
        rows.sort(key=lambda row: row[1] or 0)
        columns = (
            "client", "poll, x floor", "poll, CPU us", "polls/s", "submit, x floor", "submit, CPU us", "submits/s",
            "peak MiB",
        )  # fmt: skip
        tables.append(Table(columns, [*rows, *absent(missing, columns)], f"{number} in flight"))
    plot = {name: ratio(of, floor, "poll 32 cpu") for name, of in found.items()}
    return Answer(
        "What a submit and a poll cost",
        f"CPU of the whole client process for one request, and as a multiple of the floor, {FLOOR}. Every client "
        "encodes the same payload, sends an Authorization header, checks the status, decodes 639 bytes of JSON and "
        "takes one field. A poll of ours is one of those that `Task.wait` and `Kie.drive` make; `Task.status` is what "
        "a program gets that asks by itself, and looks into the ledger too.",
        tables,
        {"performance-poll.svg": bars(plot, unit="CPU of a poll at 32 in flight, times the floor")},
        {
            "poll over stack": ratio(found[OURS], found[STACK], "poll 32 cpu") if OURS in found else None,
            "transport over stack": ratio(found[OUR_TRANSPORT], found[STACK], "poll 32 cpu"),
            "aiohttp poll over httpx-aiohttp": (
                ratio(found[OURS_AIOHTTP], found[AIOHTTP], "poll 32 cpu") if OURS_AIOHTTP in found else None
            ),
        },
        (
            _SAFETY,
            "With 32 places for questions, ours has at most 32 in flight; the others of 256 wait without cost.",
            "What ours waits for is asked about on ticks of 50 ms: that is what its questions a second say here.",
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
            if calls.wait is not None:
                async with calls.wait(number):
                    cpu, rate = await _cost_of_waiting(Address(url), 2 * seconds)
                found |= {f"poll {number} cpu": cpu, f"poll {number} rate": rate}
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found["memory"] = most / (1024 * 1024 if sys.platform == "darwin" else 1024)
    return found


def _kinds(calls: Calls) -> list[tuple[str, Callable[[int], Awaitable[str]]]]:
    kinds: list[tuple[str, Callable[[int], Awaitable[str]]]] = [("poll", lambda worker: calls.poll(f"w{worker:04d}"))]
    submit = calls.submit
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


async def _cost_of_waiting(vendor: Address, seconds: float) -> tuple[float, float]:
    """Return the microseconds of CPU for one question, and the questions a second, while nothing else is done."""
    await asyncio.sleep(seconds / 2)  # connections are made, and nothing is new any more
    await asyncio.to_thread(vendor.forget)
    started, cpu = time.perf_counter(), time.process_time()
    await asyncio.sleep(seconds)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - started
    polls = (await asyncio.to_thread(vendor.seen))["polls"]
    return cpu / max(1, polls) * 1e6, polls / wall
