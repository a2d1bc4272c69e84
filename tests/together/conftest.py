"""A fake Kie behind a real socket, a real ledger file, and a clock that moves only while somebody sleeps."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import heapq
import json
import math
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import attrs
import h11
import pytest

from kie_core import Kie, KieError, load_dispatcher, load_settings
from kie_core._ledger.sqlite import SqliteDatabase
from kie_core._network.http import Http
from kie_core.webhook import Receiver
from kie_sandbox import Sandbox, serve

KEY = "0123456789abcdef0123456789abcdef"
MODEL = "gpt-4o-image"
#: Kopecks that are reserved for one picture.
PRICE = 3933
#: A picture takes two seconds.
SPEED = 20.0
WORKER = Path(__file__).parents[1] / "faults" / "kie_worker.py"


class StillClock:
    """A clock that stands still, and jumps to the next sleeper's time when everybody sleeps.

    While a request or a transaction is on its way, it stands still: what they take is no time of Kie's.
    """

    def __init__(self):
        self.seconds = 0.0
        self.awake = 0
        self._begun = 0
        self.shift = 0.0  # by how much somebody has set the wall clock forward
        self._epoch = time.time()
        self._runs = False
        self._shift_at = math.inf, 0.0
        self._wakes = []

    def now(self):
        return self.seconds

    def time(self):
        if self.seconds >= self._shift_at[0]:
            self.shift = self._shift_at[1]
        return self._epoch + self.seconds + self.shift

    def shift_at(self, seconds, shift):
        """Set the wall clock later."""
        self._shift_at = seconds, shift

    def true_time(self):
        """What the rest of the world calls the time."""
        return (time.time() if self._runs else self._epoch) + self.seconds

    def let_run(self):
        """Let the world's time pass by itself, for other processes."""
        self._runs = True

    def stands_still_during(self, function):
        """Return *function*, during which nobody's sleep ends."""

        @functools.wraps(function)
        async def awake(*arguments, **named):
            self.awake += 1
            self._begun += 1
            try:
                return await function(*arguments, **named)
            finally:
                self.awake -= 1

        return awake

    async def sleep(self, seconds):
        wake = self.seconds + max(0.0, seconds)
        heapq.heappush(self._wakes, wake)
        try:
            quiet, seen = 0, (self._begun, self.seconds)
            while self.seconds < wake:
                await asyncio.sleep(0.001)  # others may still be on their way to bed, or have just got up
                still = not self.awake and seen == (self._begun, self.seconds) and self._wakes[0] == wake
                quiet, seen = quiet + 1 if still else 0, (self._begun, self.seconds)
                if quiet >= 3:
                    self.seconds = max(self.seconds, wake)
            await asyncio.sleep(0)
        finally:
            self._wakes.remove(wake)
            heapq.heapify(self._wakes)


class Vendor(Sandbox):
    """A sandbox that tells a test when a task is made and its answer is not sent yet."""

    url = ""
    before_answer = None

    def handle(self, request):
        response = super().handle(request)
        if self.before_answer is not None and request.method == "POST":
            self.before_answer()
        return response

    def offer(self, row):
        """Take orders for one more model, over createTask."""
        self._models[row["model_id"]] = row

    def sign_with(self, key):
        self._webhook_key = key

    @property
    def posts(self):
        """How many creates came, whatever became of them."""
        return len(self.create_times)

    def asked(self, path):
        """How many requests came for a path."""
        return sum(path in request.target for request in self.requests)


@attrs.frozen
class Scene:
    """What a test about money needs, and the questions that it asks again and again."""

    vendor: Vendor
    clock: StillClock
    ledger: str
    dispatcher: object

    def settings(self, **more):
        return {"api_key": KEY, "base_url": self.vendor.url, "ledger": str(self.ledger), **more}

    def client(self, *, budget=None, create_timeout=120.0, **settings):
        """A client on the one ledger, as another process would have it; its short deadlines are no setting."""
        checked = attrs.evolve(load_settings(self.settings(**settings)), create_timeout=create_timeout)
        shared = None if {"registry", "plugins"} & settings.keys() else self.dispatcher
        return Kie(settings=checked, clock=self.clock, dispatcher=shared, budget=budget)

    def facade(self, kind, *, create_timeout=120.0, **arguments):
        """An object of the original system on the one ledger; clock and short deadlines are no arguments of its."""
        made = kind(**self.settings(**arguments))
        held = made._on_demand
        held._settings = attrs.evolve(held._settings, create_timeout=create_timeout)
        held._arguments |= {"settings": held._settings, "clock": self.clock}
        return made

    async def attempt(self, kie, *, kept, prompt="a cat"):
        """Send a job once, for a waiting caller or out of the queue; return its id and the error."""
        await self.clock.sleep(0.6)  # until its turn comes
        job = kie.job(MODEL, {"prompt": prompt})
        if kept:
            await kie.enqueue(job)
            await kie.advance(job.id)
            return job.id, None
        try:
            await kie.submit(job, wait_timeout=0)
        except KieError as error:
            return job.id, error
        return job.id, None

    async def booked(self, kie):
        """Kopecks reserved and spent on the account."""
        (balance,) = [one for one in await kie.balances() if one.scope.startswith("account:")]
        return balance.reserved, balance.spent

    async def standing(self, kie, job_id):
        """The state of a job, and what is reserved for it."""
        entry = await kie.entry(job_id)
        return entry.state, entry.reserved

    async def stays_unknown(self, kie, job_id, *, made=1, found=False):
        """Reserved, bought once at the most, and never sent again, by whatever drives, reads or starts anew.

        With *found* the half answer named a task: reading leads to it.
        """
        assert await self.standing(kie, job_id) == ("unknown", PRICE)
        assert await self.booked(kie) == (PRICE, 0)
        await kie.advance(job_id)
        await kie.drive(wait_timeout=0)
        async with self.client() as other:
            await other.recover(wait_timeout=0)
            await other.advance(job_id)
            entry = await other.entry(job_id)
            assert entry.state in (("running", "succeeded") if found else ("unknown",))
            assert sum(await self.booked(other)) > 0
        assert self.vendor.posts == made
        assert sum(self.vendor.purchases().values()) == made

    async def is_back_in_the_queue(self, kie, job_id):
        """Nothing reserved, nothing bought."""
        assert await self.standing(kie, job_id) == ("queued", 0)
        assert await self.booked(kie) == (0, 0)
        assert not self.vendor.creates

    async def has_ended(self, kie, job_id, state="cancelled"):
        """Nothing reserved, nothing bought, and nothing will send it."""
        assert await self.standing(kie, job_id) == (state, 0)
        assert await self.booked(kie) == (0, 0)
        posts = self.vendor.posts
        await kie.drive(wait_timeout=0)
        await kie.advance(job_id)
        assert self.vendor.posts == posts
        assert not self.vendor.creates


@pytest.fixture(scope="session")
def plugins_and_prices():
    return load_dispatcher(load_settings(environ={}))


@pytest.fixture
def clock(monkeypatch):
    made = StillClock()
    for name in ("ask", "create"):
        monkeypatch.setattr(Http, name, made.stands_still_during(getattr(Http, name)))
    monkeypatch.setattr("kie_core._network.http.GRACE_SECONDS", 0.05)  # these would be seconds of the world's time
    monkeypatch.setattr(SqliteDatabase, "run", made.stands_still_during(SqliteDatabase.run))
    return made


@pytest.fixture
def scene(clock, tmp_path, plugins_and_prices):
    vendor = Vendor(speed=SPEED, creates_per_10_seconds=None, clock=clock.true_time)
    with serve(sandbox=vendor) as vendor.url:
        yield Scene(vendor, clock, tmp_path / "ledger.sqlite", plugins_and_prices)


@pytest.fixture
def vendor(scene):
    return scene.vendor


@pytest.fixture
def hold_ledger(scene):
    """Keep everybody else from the ledger file, as a process in the middle of a transaction does."""
    held = sqlite3.connect(scene.ledger, isolation_level=None, check_same_thread=False, timeout=5)

    def hold():
        held.execute("BEGIN EXCLUSIVE")

    hold.release = lambda: held.execute("ROLLBACK")
    yield hold
    held.close()


@pytest.fixture
def start(scene, tmp_path):
    """Start programs on the ledger, as a user does; none outlives the test. What they log is in ``process.log``."""
    with contextlib.ExitStack() as stack:

        def started(what, settings=None, **arguments):
            given = {"what": what, "settings": scene.settings(**(settings or {})), **arguments}
            path = tmp_path / f"log-{len(list(tmp_path.glob('log-*')))}.txt"
            log = stack.enter_context(path.open("wb"))
            process = subprocess.Popen([sys.executable, WORKER, json.dumps(given)], stderr=log)
            process.log = path
            stack.enter_context(process)
            stack.callback(process.kill)
            return process

        yield started


class Door:
    """A real HTTP server before the application that receives callbacks, of whichever client is behind it."""

    def __init__(self, clock):
        self.inbox = None
        self.url = ""
        self.statuses = []
        self._clock = clock

    async def serve(self, reader, writer):
        connection = h11.Connection(h11.SERVER)

        async def event():
            while (found := connection.next_event()) is h11.NEED_DATA:
                connection.receive_data(await reader.read(65536))
            return found

        async def receive():
            found = await event()
            if isinstance(found, h11.Data):
                return {"type": "http.request", "body": bytes(found.data), "more_body": True}
            return {"type": "http.request" if isinstance(found, h11.EndOfMessage) else "http.disconnect"}

        async def send(message):
            if message["type"] == "http.response.start":
                self.statuses.append(message["status"])
                part = h11.Response(status_code=message["status"], headers=message["headers"])
            else:
                part = h11.Data(data=message["body"])
            writer.write(connection.send(part))

        try:
            asked = await event()
            scope = {"type": "http", "http_version": "1.1", "method": asked.method.decode(), "headers": asked.headers}
            path = asked.target.decode()
            await Receiver(self.inbox, clock=self._clock)({**scope, "path": path}, receive, send)
            await writer.drain()
            with contextlib.suppress(ConnectionError):
                while await reader.read(65536):  # what is left of a body that was refused
                    pass
        finally:
            writer.close()


@pytest.fixture
async def door(clock):
    opened = Door(clock.time)
    server = await asyncio.start_server(opened.serve, "127.0.0.1", 0)
    async with server:
        opened.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/kie"
        yield opened


@pytest.fixture
def until():
    """Wait for what another process or thread does; a test that waits in vain is ended by its time limit."""

    async def waiting(question):
        while not (found := await question() if asyncio.iscoroutinefunction(question) else question()):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        return found

    return waiting
