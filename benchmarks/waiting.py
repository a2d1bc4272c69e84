"""What ten thousand waiting jobs cost: memory and processor for each, and how late they are asked about."""

from __future__ import annotations

import asyncio
import gc
import heapq
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.clients import (
    AIOHTTP,
    CLIENTS,
    FLOOR,
    INPUTS,
    KEY,
    MODEL,
    OURS,
    OURS_AIOHTTP,
    ROOM,
    STOCK,
    WITH_AIOHTTP,
    Calls,
    handle_of,
)
from benchmarks.machine import memory
from benchmarks.page import Answer, Table, absent, bars
from benchmarks.rounds import Run, middle, ratio
from benchmarks.vendor import Address, running_vendor

#: Jobs that wait, and the seconds between two questions about each.
JOBS: Final = (10_000, 10.0)
#: Seconds that the vendor takes for an answer.
LATENCY: Final = 0.02
#: So many questions at once, for clients that have no limit of their own.
GATE: Final = 64
#: So many jobs are handed over at once, so that their questions are spread over the interval.
_BATCH: Final = 50
#: So many intervals more a client has at the most, to ask about each job for the first time.
_LONGEST: Final = 8
#: Where a ledger in a file costs no disk.
_MEMORY_DISK: Final = Path("/dev/shm")  # noqa: S108

DRIVEN: Final = f"{OURS}, Kie.drive"
AWAITED: Final = f"{OURS}, Task.wait"
DRIVEN_AIOHTTP: Final = f"{OURS_AIOHTTP}, Kie.drive"


def answer(run: Run) -> Answer:
    """Ask the question."""
    jobs, interval = (500, 1.0) if run.quick else JOBS
    needs = {
        FLOOR: FLOOR, STOCK: STOCK, AIOHTTP: AIOHTTP, DRIVEN: OURS, AWAITED: OURS, DRIVEN_AIOHTTP: OURS_AIOHTTP,
    }  # fmt: skip
    missing = {case: CLIENTS[name].missing for case, name in needs.items() if CLIENTS[name].missing}
    cases = [case for case in needs if case not in missing]
    with tempfile.TemporaryDirectory(dir=_MEMORY_DISK if _MEMORY_DISK.is_dir() else None) as folder:
        with running_vendor() as vendor:
            if any(case.startswith("kie") for case in cases):
                run.interleaved(__name__, [_FILLING], 1, url=vendor.url, jobs=jobs, interval=interval, folder=folder)
        with running_vendor(LATENCY) as vendor:
            found = run.interleaved(
                __name__, cases, run.count(1), url=vendor.url, jobs=jobs, interval=interval, folder=folder
            )
    floor = found[FLOOR]
    rows: list[tuple[Any, ...]] = [
        (
            case, middle(of, "bytes"), middle(of, "polls"), middle(of, "us"), middle(of, "core"),
            ratio(of, floor, "core"), middle(of, "late p50"), middle(of, "late p99"),
        )
        for case, of in found.items()
    ]  # fmt: skip
    columns = (
        "client", "bytes/job", "polls/s", "CPU us/poll", "% of a core", "x floor", "late p50 ms", "late p99 ms",
    )  # fmt: skip
    ours = found.get(DRIVEN, [])
    return Answer(
        f"{jobs:,} jobs that wait, asked about every {interval:g} s",
        f"{jobs / interval:,.0f} questions a second are due; the vendor takes {LATENCY * 1000:g} ms to answer. The "
        "vendor tells how late a question is: the time since its last answer about that job, less the interval. Ours "
        "asks at the nearest of its ticks, and may so be a little early. Measuring begins when every job was asked "
        "about, or had time enough for it. Memory is that of the process while all wait, less what it held before, "
        f"with its connections made. The floor has a heap and {GATE} places; httpx has one task for each job, as one "
        "would write it. Ours is used as anybody would: `Kie.drive` over a ledger in a file, and `Task.wait` of tasks "
        "that were attached by their handles.",
        [Table(columns, [*rows, *absent(missing, columns)])],
        {"performance-waiting.svg": bars({row[0]: row[4] for row in rows}, unit="% of a core")},
        {
            "core": middle(ours, "core"),
            "core aiohttp": middle(found.get(DRIVEN_AIOHTTP, []), "core"),
            "late p99": middle(ours, "late p99"),
            "bytes per job": middle(ours, "bytes"),
        },
        (
            "Where fewer questions a second are asked than are due, the client cannot keep up, and gets ever later.",
            "With `Task.wait` the caller's own task, coroutine and task object are counted for each job.",
        ),
    )


def measure(case: str, url: str, jobs: int, interval: float, folder: str) -> dict[str, float]:
    """Measure one way to wait, in this process; or put the jobs for it into a ledger."""
    if case == _FILLING:
        asyncio.run(_filled(url, jobs, Path(folder)))
        return {}
    meter = _Meter(Address(url), jobs, interval)
    if case == DRIVEN:
        asyncio.run(_driven(meter, Path(folder), {}))
    elif case == DRIVEN_AIOHTTP:
        asyncio.run(_driven(meter, Path(folder), WITH_AIOHTTP))
    elif case == AWAITED:
        asyncio.run(_awaited(meter))
    else:
        asyncio.run(_by_hand(meter, case))
    return meter.found


class _Meter:
    """Hands jobs over, batch by batch for one interval, and measures when each of them was asked about."""

    def __init__(self, vendor: Address, jobs: int, interval: float) -> None:
        self.vendor, self.jobs, self.interval = vendor, jobs, interval
        self.found: dict[str, float] = {}

    async def measure(self, hand_over: Callable[[int, int], None]) -> None:
        """Measure; *hand_over* has the jobs from one number up to another one asked about from now on."""
        await asyncio.to_thread(self.vendor.forget)
        gc.collect()
        before = memory()
        started = time.perf_counter()
        for first in range(0, self.jobs, _BATCH):
            await asyncio.sleep(started + self.interval * first / self.jobs - time.perf_counter())
            hand_over(first, min(first + _BATCH, self.jobs))
        await asyncio.sleep(started + 2 * self.interval - time.perf_counter())
        for _ in range(10 * _LONGEST):
            if (await asyncio.to_thread(self.vendor.seen))["tasks"] >= self.jobs:
                break
            await asyncio.sleep(self.interval / 10)
        await asyncio.to_thread(self.vendor.forget)
        started, cpu = time.perf_counter(), time.process_time()
        await asyncio.sleep(1.5 * self.interval)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - started
        gc.collect()
        held = memory() - before
        seen = await asyncio.to_thread(self.vendor.seen)
        late = sorted(gap - self.interval for gap in seen["gaps"])
        self.found = {
            "bytes": held / self.jobs, "polls": seen["polls"] / wall,
            "us": cpu / max(1, seen["polls"]) * 1e6, "core": 100 * cpu / wall,
        }  # fmt: skip
        if late:
            self.found |= {"late p50": late[len(late) // 2] * 1000, "late p99": late[len(late) * 99 // 100] * 1000}


# --- ours ------------------------------------------------------------------------------

_FILLING: Final = "put the jobs into a ledger"
#: The ledger is filled with one vendor and read with another: its account has a name, not that of an address.
_ACCOUNT: Final[dict[str, Any]] = {**ROOM, "account": "benchmarks"}


def every(seconds: float) -> dict[str, Any]:
    """Return the settings of a client that asks about each job again after so many seconds, neither more nor less."""
    from kie_core import Schedule

    return {"schedule": Schedule(first=seconds, factor=1.0, longest=seconds, spread=0.0)}


async def _filled(url: str, jobs: int, folder: Path) -> None:
    """Put running jobs into a ledger, as anybody would, and their ids beside it."""
    from kie_core import Kie

    async with Kie(KEY, base_url=url, ledger=str(folder / "filled.sqlite"), **_ACCOUNT, **every(1000.0)) as kie:
        ids = [(await kie.enqueue(MODEL, INPUTS)).id for _ in range(jobs)]
        driving = asyncio.create_task(kie.drive(*ids))
        while (await kie.counts()).get("running", 0) < jobs:  # noqa: ASYNC110  (asked as any caller would)
            await asyncio.sleep(1.0)
        driving.cancel()
        await asyncio.gather(driving, return_exceptions=True)
    (folder / "ids").write_text("\n".join(ids), "ascii")


async def _driven(meter: _Meter, folder: Path, settings: dict[str, Any]) -> None:
    from kie_core import Kie

    ledger = folder / "ledger.sqlite"
    shutil.copy(folder / "filled.sqlite", ledger)
    ids = (folder / "ids").read_text("ascii").split()
    # One drive has them all, and spreads its first questions over the interval by itself: so many are due a second.
    settings = {**_ACCOUNT, **every(meter.interval), **settings, "polls_per_second": round(len(ids) / meter.interval)}
    async with Kie(KEY, base_url=meter.vendor.url, ledger=str(ledger), **settings) as kie:
        await asyncio.gather(*(kie.attach(handle_of(f"warm{number}")).status() for number in range(GATE)))
        tasks: list[asyncio.Task[Any]] = []

        def hand_over(first: int, _: int) -> None:
            if not first:
                tasks.append(asyncio.create_task(kie.drive(*ids)))

        await meter.measure(hand_over)
        await _ended(tasks)


async def _awaited(meter: _Meter) -> None:
    from kie_core import Kie

    async with Kie(KEY, base_url=meter.vendor.url, ledger="memory:", **ROOM, **every(meter.interval)) as kie:
        await asyncio.gather(*(kie.attach(handle_of(f"warm{number}")).status() for number in range(GATE)))
        tasks: list[asyncio.Task[Any]] = []

        def hand_over(first: int, end: int) -> None:
            tasks.extend(
                asyncio.create_task(kie.attach(handle_of(f"w{number:05d}")).wait(3600.0))
                for number in range(first, end)
            )

        await meter.measure(hand_over)
        await _ended(tasks)


# --- by hand ---------------------------------------------------------------------------


async def _by_hand(meter: _Meter, case: str) -> None:
    async with CLIENTS[case].open(meter.vendor.url) as calls:
        await asyncio.gather(*(calls.poll(f"warm{number}") for number in range(GATE)))
        await (_heaped if case == FLOOR else _one_task_each)(meter, calls)


async def _heaped(meter: _Meter, calls: Calls) -> None:
    """The floor: due times on a heap, and a crew of workers."""
    due: list[tuple[float, int]] = []
    idle = asyncio.Semaphore(GATE)
    asking: set[asyncio.Task[None]] = set()

    async def ask(number: int) -> None:
        try:
            await calls.poll(f"w{number:05d}")
        finally:
            idle.release()
        heapq.heappush(due, (time.monotonic() + meter.interval, number))

    async def schedule() -> None:
        while True:
            now = time.monotonic()
            while due and due[0][0] <= now:
                await idle.acquire()
                task = asyncio.create_task(ask(heapq.heappop(due)[1]))
                asking.add(task)
                task.add_done_callback(asking.discard)
            await asyncio.sleep(0.005)

    def hand_over(first: int, end: int) -> None:
        for number in range(first, end):
            heapq.heappush(due, (time.monotonic(), number))

    scheduling = asyncio.create_task(schedule())
    await meter.measure(hand_over)
    await _ended([scheduling, *asking])


async def _one_task_each(meter: _Meter, calls: Calls) -> None:
    gate = asyncio.Semaphore(GATE)

    async def wait(number: int) -> None:
        while True:
            async with gate:
                await calls.poll(f"w{number:05d}")
            await asyncio.sleep(meter.interval)

    tasks: list[asyncio.Task[Any]] = []
    await meter.measure(
        lambda first, end: tasks.extend(asyncio.create_task(wait(number)) for number in range(first, end))
    )
    await _ended(tasks)


async def _ended(tasks: Sequence[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
