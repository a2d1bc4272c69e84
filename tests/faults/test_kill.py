"""Workers that are killed at random moments: nothing is bought twice, nothing is lost. ``KIE_TEST_FAULTS=1`` runs it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import secrets
import socket
import sqlite3
import sys
from collections import Counter
from pathlib import Path

import pytest

from kie_core import Budget, Kie, Schedule
from kie_core.webhook import Receiver

pytestmark = [
    pytest.mark.skipif(not os.environ.get("KIE_TEST_FAULTS"), reason="slow; KIE_TEST_FAULTS=1 runs it"),
    pytest.mark.skipif(os.name != "posix", reason="needs signals"),
    pytest.mark.anyio,
    pytest.mark.timeout(900),
]

kie_sandbox = pytest.importorskip("kie_sandbox")
h11 = pytest.importorskip("h11")

WORKER = Path(__file__).with_name("drive_worker.py")
log = logging.getLogger("faults")
KEY = "0123456789abcdef0123456789abcdef"
#: Repeats a run: the moments of the kills, not what the machine does in between.
SEED = int(os.environ.get("KIE_TEST_SEED") or secrets.randbelow(10**9))
JOBS = 500
KILLS = 25
SCOPE = "batch:kill"
GOING = ("queued", "leased", "submitting", "running")
#: Each tells tasks, and repeats requests in its records, in its own way.
MODELS = {
    "gpt-4o-image": {},
    "flux-kontext": {},
    "suno-v4": {},
    "veo3_fast": {},
    "runway-gen3-turbo": {"image_url": "https://example.com/a.png"},
}


# --- what is on the internet -----------------------------------------------------------------


@contextlib.asynccontextmanager
async def serving(app, listener):
    """Serve an ASGI application, one request per connection."""

    async def connection(reader, writer):
        with contextlib.suppress(ConnectionError, h11.ProtocolError):
            await answer(app, reader, writer)
        writer.close()

    server = await asyncio.start_server(connection, sock=listener)
    try:
        yield
    finally:
        server.close()


async def answer(app, reader, writer):
    protocol = h11.Connection(h11.SERVER)
    request, events = None, []
    while not (events and isinstance(events[-1], h11.EndOfMessage)):
        event = protocol.next_event()
        if event is h11.NEED_DATA:
            protocol.receive_data(await reader.read(65536))
        elif isinstance(event, h11.ConnectionClosed):
            return
        else:
            events.append(event)
    request = events[0]
    messages = [{"type": "http.request", "body": b"".join(event.data for event in events[1:-1])}]

    async def receive():
        return messages.pop() if messages else {"type": "http.disconnect"}

    async def send(message):
        if message["type"] == "http.response.start":
            headers = [*message["headers"], (b"connection", b"close")]
            writer.write(protocol.send(h11.Response(status_code=message["status"], headers=headers)))
        else:
            writer.write(protocol.send(h11.Data(data=message["body"])) + protocol.send(h11.EndOfMessage()))
            await writer.drain()

    scope = {
        "type": "http", "method": request.method.decode(), "path": request.target.decode(), "root_path": "",
        "http_version": "1.1", "headers": [(name.lower(), value) for name, value in request.headers],
    }  # fmt: skip
    await app(scope, receive, send)


# --- the bot, which lives, and the worker, which does not --------------------------------------


class Fleet:
    """One ledger, a bot that enqueues and receives callbacks, and a worker that is started again and again."""

    def __init__(self, kie, environment):
        self.kie = kie
        self.environment = environment
        self.enqueued = self.kills = self.starts = 0

    async def enqueue(self, count):
        for number in range(self.enqueued, self.enqueued + count):
            model = list(MODELS)[number % len(MODELS)]
            inputs = {"prompt": f"picture {number}", **MODELS[model]}
            await self.kie.enqueue(model, inputs, job_key=f"picture {number}")
        self.enqueued += count

    async def start(self):
        self.starts += 1
        return await asyncio.create_subprocess_exec(
            sys.executable, WORKER, env=self.environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )

    async def kill_one(self, life):
        """Start a worker and kill it after so many seconds; not counted, if it had nothing left to do."""
        worker = await self.start()
        try:
            out, err = await asyncio.wait_for(worker.communicate(), life)
        except TimeoutError:
            worker.kill()
            await worker.communicate()
            self.kills += 1
        else:
            assert worker.returncode == 0, err.decode()

    async def finish(self):
        """Let a worker live."""
        worker = await self.start()
        out, err = await worker.communicate()
        assert worker.returncode == 0, err.decode()
        assert out == b"{}\n", "some job's last step failed"

    async def jobs(self, *states):
        return await self.kie.jobs(*states)


@pytest.fixture(params=["polling", "callbacks"])
async def fleet(request, shared_place, tmp_path, world, monkeypatch):
    callbacks = request.param == "callbacks"
    with socket.create_server(("127.0.0.1", 0)) as listener, kie_sandbox.serve(sandbox=world) as url:
        settings = {
            "base_url": url, "ledger": str(shared_place), "ledger_prompts": True, "lease": 6.0,
            "creates_per_10_seconds": 100_000,
            # Where nobody can say what became of a job, it keeps its place.
            "concurrency": 100 if callbacks else 10_000,
        }  # fmt: skip
        if callbacks:
            settings["callback_url"] = f"http://127.0.0.1:{listener.getsockname()[1]}/kie"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("KIE_")} | {
            "KIE_API_KEY": KEY,
            "KIE_STATE_DIR": str(tmp_path),
            "KIE_CONFIG_DIR": str(tmp_path),
            **{f"KIE_{name.upper()}": str(value) for name, value in settings.items()},
        }
        monkeypatch.setenv("KIE_STATE_DIR", str(tmp_path))
        budget = Budget(max_total_rub=10_000_000, scope=SCOPE)
        schedule = Schedule(first=0.1, factor=1.1, longest=0.3)
        async with (
            Kie(KEY, budget=budget, schedule=schedule, **settings) as kie,
            serving(Receiver(kie), listener) if callbacks else contextlib.nullcontext(),
        ):
            yield Fleet(kie, environment)


@pytest.fixture
def world():
    return kie_sandbox.Sandbox(speed=300, credits=10_000_000, creates_per_10_seconds=None, faults=["create-delay=0.1"])


# --- what has to hold ------------------------------------------------------------------------


async def assert_true_books(kie):
    """The sums are those of the jobs, and every job is what its history says."""
    jobs = await kie.jobs()
    sums = (sum(job.spent for job in jobs), sum(job.reserved for job in jobs))
    assert {one.scope.partition(":")[0]: (one.spent, one.reserved) for one in await kie.balances()} == {
        "account": sums,
        "batch": sums,
    }
    for job in jobs:
        last = (await kie.history(job.id))[-1]
        assert (last.state, last.spent, last.reserved) == (job.state, job.spent, job.reserved)


def assert_sound(place):
    if "://" not in str(place):
        with contextlib.closing(sqlite3.connect(place)) as file:
            assert file.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


async def test_no_kill_loses_a_job_or_buys_it_twice(fleet, world, shared_place, tmp_path):
    """Whenever a worker dies, also between the vendor's yes and our note of it."""
    log.warning("KIE_TEST_SEED=%s", SEED)
    luck = random.Random(SEED)
    await fleet.enqueue(JOBS)
    while fleet.kills < KILLS:
        await fleet.kill_one(luck.uniform(0.2, 1.5))
        if not await fleet.jobs(*GOING):
            await fleet.enqueue(100)
    await fleet.finish()
    assert await fleet.kie.recover() == {}

    jobs = {job.job_key: job for job in await fleet.jobs()}
    made = {create.body.get("prompt"): create.task_id for create in world.creates}
    unknown = {key for key, job in jobs.items() if job.state == "unknown"}
    states = Counter(job.state for job in jobs.values())
    log.warning(
        f"{fleet.kills} kills, {fleet.starts} starts, {len(jobs)} jobs: {dict(states)}; the vendor made {len(made)}"
    )
    log.warning(f"{len(unknown)} unknown, of which the vendor made {len(unknown & made.keys())}")
    assert set(world.purchases().values()) == {1}
    assert len(jobs) == fleet.enqueued
    assert set(states) <= {"succeeded", "unknown"}
    assert {key for key, task in made.items() if jobs[key].task_id != task} <= unknown
    assert {key for key in jobs if key not in made} <= unknown
    if fleet.kie.settings.callback_url is not None:
        assert not unknown & made.keys(), "a callback named its task"
    await assert_true_books(fleet.kie)
    assert_sound(shared_place)
    living = (await fleet.kie._opened.with_ledger()).ledger.owner
    assert {path.name.rpartition("-")[2] for path in tmp_path.glob("*.spill-*")} <= {living}, "the dead leave none"

    for key in unknown:  # what a person does with the vendor's list of tasks
        decision = {"adopt_task": made[key]} if key in made else {"not_sent": True}
        await fleet.kie.resolve(jobs[key].id, **decision)
    assert await fleet.kie.recover() == {}
    assert Counter(job.state for job in await fleet.jobs())["succeeded"] == len(made)
    assert [one.reserved for one in await fleet.kie.balances()] == [0, 0]
    await assert_true_books(fleet.kie)
