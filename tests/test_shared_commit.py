"""Transactions of one process share commits, and nobody is told of anything before it is durable. Counted, not timed."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import sqlite3
import threading
import warnings

import attrs
import pytest

from kie_core._errors import LedgerError
from kie_core._ledger import shared_commit, sqlite
from kie_core._ledger.entry import Entry, Plan
from kie_core._ledger.ledger import Ledger, Superseded
from kie_core._ledger.sqlite import SqliteDatabase

pytestmark = pytest.mark.anyio

NUMBERS = itertools.count()


def make_entry(**more):
    plan = Plan(
        model="veo3", category="veo3", media="video", wire="dedicated", create="/create", query="/query",
        task_param="taskId", callback_field=None, contract=100, credits=None, wire_price=None, unit=None,
        kopecks_per_credit="100", limits=(), seconds=3600.0,
    )  # fmt: skip
    entry = {"id": f"job-{os.getpid()}-{next(NUMBERS)}", "account": "account-1", "fingerprint": "f" * 64, **more}
    return Entry(plan=plan, inputs=None, **entry)


@pytest.fixture(autouse=True)
def _no_group_ends_because_this_machine_is_slow(monkeypatch):
    """What is written together is a matter of how much waits."""
    monkeypatch.setattr(shared_commit, "HOLD_SECONDS", 60.0)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ledger.sqlite"


@pytest.fixture
async def ledger(path):
    """An open one, without jobs."""
    opened = Ledger(SqliteDatabase(str(path)))
    await opened.find()
    yield opened
    await opened.close()


@pytest.fixture
def statements(ledger):
    """What SQLite is told from now on."""
    told = []
    ledger.database._commits.connection.set_trace_callback(told.append)
    return told


@contextlib.asynccontextmanager
async def busy_thread(ledger):
    """What is asked for meanwhile waits, all of it, until the thread is free."""
    inside, go_on = threading.Event(), threading.Event()

    def holding(_):
        yield "SELECT 1", {}
        inside.set()
        go_on.wait(10)

    held = asyncio.ensure_future(ledger.database.run(holding, write=False))
    await asyncio.to_thread(inside.wait, 10)
    try:
        yield
        await asyncio.sleep(0)  # every task has asked
    finally:
        go_on.set()
        await held


def start(*coroutines):
    return [asyncio.ensure_future(one) for one in coroutines]


async def came_of(tasks):
    return await asyncio.gather(*tasks, return_exceptions=True)


def raising(error):
    """A transaction that writes, and then raises."""

    def work(_):
        yield "UPDATE job SET state = 'failed'", {}
        raise error

    return work


class Pause:
    """Stops the thread before the commit of what was written."""

    def __init__(self):
        self.reached, self.go_on = threading.Event(), threading.Event()
        self._has_written = False

    def __call__(self, statement):
        self._has_written |= statement == "BEGIN IMMEDIATE"
        if self._has_written and statement == "COMMIT":
            self.reached.set()
            self.go_on.wait(10)


async def test_what_waits_together_is_committed_once(ledger, statements):
    """Thirty-two jobs, one wait for the disk."""
    async with busy_thread(ledger):
        tasks = start(*(ledger.add(make_entry()) for _ in range(32)))
    added = await asyncio.gather(*tasks)

    assert [one.revision for one in added] == [1] * 32
    assert (statements.count("BEGIN IMMEDIATE"), statements.count("COMMIT")) == (1, 2)  # one is the busy question's


async def test_a_lone_transaction_waits_for_nobody(ledger, statements):
    """It has a commit of its own, before its caller hears of it."""
    for done in (1, 2, 3):
        await ledger.add(make_entry())

        assert statements.count("COMMIT") == done


async def test_nobody_is_answered_before_the_commit(ledger):
    """Not even one that raises: what it saw of the others was not durable yet."""
    pause = Pause()
    ledger.database._commits.connection.set_trace_callback(pause)
    async with busy_thread(ledger):
        tasks = start(ledger.add(make_entry()), ledger.database.run(raising(KeyError("x"))), ledger.add(make_entry()))

    await asyncio.to_thread(pause.reached.wait, 10)
    done, _ = await asyncio.wait(tasks, timeout=0.1)
    pause.go_on.set()

    assert done == set()
    assert [type(one) for one in await came_of(tasks)] == [Entry, KeyError, Entry]


async def test_one_that_raises_is_taken_back_alone(ledger, statements):
    """With what it wrote; those before and after it are written."""
    first, last = make_entry(), make_entry()
    async with busy_thread(ledger):
        tasks = start(ledger.add(first), ledger.database.run(raising(KeyError("x"))), ledger.add(last))
    came = await came_of(tasks)

    assert isinstance(came[1], KeyError)
    assert statements.count("BEGIN IMMEDIATE") == 1
    assert {one.id: one.state for one in await ledger.find()} == {first.id: "queued", last.id: "queued"}


async def test_where_all_raise_nothing_is_committed(ledger, statements):
    """And the ledger goes on."""
    await came_of(start(ledger.database.run(raising(KeyError("x")))))

    assert "COMMIT" not in statements
    assert (await ledger.add(make_entry())).revision == 1


async def test_order_is_that_of_arrival(ledger):
    """Of two that change one job the first wins, as it would alone."""
    entry = await ledger.add(make_entry())

    def saying(word):
        return ledger.change(entry, lambda old, _: attrs.evolve(old, reason=word))

    async with busy_thread(ledger):
        tasks = start(*(saying(word) for word in ("one", "two", "three")))
    came = await came_of(tasks)

    assert [type(one) for one in came] == [Entry, Superseded, Superseded]
    assert (await ledger.get(entry.id)).reason == "one"


async def test_a_commit_that_fails_fails_for_all(ledger, path, monkeypatch):
    """Nobody is told that it is durable, those that raised are told the same, and nothing is written."""
    await ledger.close()
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.05)
    await ledger.find()
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as reader:
        async with busy_thread(ledger):
            tasks = start(ledger.add(make_entry()), ledger.database.run(raising(KeyError("x"))))
            tasks += start(ledger.add(make_entry()))
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM job").fetchall()  # no commit while somebody reads
        came = await came_of(tasks)

    assert [(type(one), one.kind) for one in came] == [(LedgerError, "busy")] * 3
    assert await ledger.find() == []
    assert (await ledger.add(make_entry())).revision == 1


async def test_a_file_that_stays_locked_is_told_to_all_who_waited(ledger, path, monkeypatch):
    """At once, not one patience after the other."""
    await ledger.close()
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.0)
    await ledger.find()
    told = []
    ledger.database._commits.connection.set_trace_callback(told.append)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        async with busy_thread(ledger):
            tasks = start(*(ledger.add(make_entry()) for _ in range(5)))
        came = await came_of(tasks)

    assert [(type(one), one.kind) for one in came] == [(LedgerError, "busy")] * 5
    assert told.count("BEGIN IMMEDIATE") == 1


async def test_where_sqlite_takes_back_everything_all_before_are_told(ledger):
    """As it may on a full disk: those that came after are written."""
    known = await ledger.add(make_entry())

    def ending(_):
        yield "INSERT OR ROLLBACK INTO job SELECT * FROM job", {}

    entries = [make_entry() for _ in range(4)]
    async with busy_thread(ledger):
        tasks = start(ledger.add(entries[0]), ledger.add(entries[1]), ledger.database.run(ending))
        tasks += start(ledger.add(entries[2]), ledger.add(entries[3]))
    came = await came_of(tasks)

    assert [type(one) for one in came] == [LedgerError, LedgerError, LedgerError, Entry, Entry]
    assert {one.id for one in await ledger.find()} == {known.id, entries[2].id, entries[3].id}


async def test_on_a_full_disk_everybody_is_told_the_truth(ledger):
    """Whoever was told that it is written finds it; whoever was told of an error, does not."""
    await ledger.add(make_entry())
    connection = ledger.database._commits.connection
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages + 3}").fetchall()
    entries = [make_entry(job_key=f"{number}" * (60_000 if number == 5 else 1)) for number in range(10)]

    async with busy_thread(ledger):
        tasks = start(*(ledger.add(entry) for entry in entries))
    came = await came_of(tasks)

    written = {one.id for one in await ledger.find()}
    assert {type(one) for one in came} == {Entry, LedgerError}
    assert [entry.id in written for entry in entries] == [isinstance(one, Entry) for one in came]
    assert {one.kind for one in came if isinstance(one, LedgerError)} == {"full"}


@pytest.mark.parametrize(("name", "bound", "commits"), [("TOGETHER", 8, 4), ("HOLD_SECONDS", 0.0, 32)])
async def test_no_group_keeps_other_processes_out_for_long(ledger, statements, monkeypatch, name, bound, commits):
    """It is bounded in number and in time; the rest follows in groups of its own."""
    monkeypatch.setattr(shared_commit, name, bound)

    async with busy_thread(ledger):
        tasks = start(*(ledger.add(make_entry()) for _ in range(32)))
    await asyncio.gather(*tasks)

    assert statements.count("BEGIN IMMEDIATE") == commits
    assert len(await ledger.find()) == 32


async def test_however_many_wait_the_thread_is_called_once(ledger):
    """What waits in line for a thread that is behind is one call, not one for each."""
    await ledger.time()
    commits = ledger.database._commits
    busy, go_on = threading.Event(), threading.Event()

    def work(_):
        busy.set()
        go_on.wait(20)
        yield "SELECT 1", {}

    first = asyncio.create_task(ledger.database.run(work, write=False))
    await asyncio.to_thread(busy.wait, 20)
    others = [asyncio.create_task(ledger.time()) for _ in range(100)]
    await asyncio.sleep(0)
    assert (len(commits._reading), commits._thread._work_queue.qsize()) == (100, 1)
    go_on.set()

    assert len(await asyncio.gather(first, *others)) == 101


async def test_a_question_goes_before_what_waits_to_write(ledger, statements):
    """It waits for no disk, and sees nothing that could still be rolled back."""
    async with busy_thread(ledger):
        tasks = start(ledger.add(make_entry()), ledger.find())
    _, found = await asyncio.gather(*tasks)

    assert found == []
    asked = next(at for at, text in enumerate(statements) if text.startswith("SELECT * FROM job"))
    assert asked < statements.index("BEGIN IMMEDIATE")


async def test_who_stops_waiting_in_time_has_asked_for_nothing(ledger):
    """The others are written; and a question that follows tells what came of it."""
    entries = [make_entry() for _ in range(3)]
    async with busy_thread(ledger):
        tasks = start(*(ledger.add(entry) for entry in entries))
        await asyncio.sleep(0)
        tasks[1].cancel()
    await came_of(tasks)

    assert {one.id for one in await ledger.find()} == {entries[0].id, entries[2].id}


async def test_what_is_being_written_cannot_be_called_off(ledger):
    """Its caller may be gone; a question that follows waits for it, and sees it."""
    pause = Pause()
    ledger.database._commits.connection.set_trace_callback(pause)
    task = asyncio.ensure_future(ledger.add(make_entry()))
    await asyncio.to_thread(pause.reached.wait, 10)
    task.cancel()
    await came_of([task])
    asking = asyncio.ensure_future(ledger.find())
    await asyncio.sleep(0)
    pause.go_on.set()

    assert len(await asking) == 1
    assert task.cancelled()


async def test_who_closes_waits_for_what_was_asked_for(ledger):
    """Everything is written, and what is asked for from then on has a connection of its own."""
    async with busy_thread(ledger):
        tasks = start(*(ledger.add(make_entry()) for _ in range(100)))
        await asyncio.sleep(0)
        tasks += start(ledger.close())
        await asyncio.sleep(0)
        later = asyncio.ensure_future(ledger.find())
    await asyncio.gather(*tasks, later)

    assert len(await ledger.find()) == 100


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
async def test_what_waits_in_a_parent_is_not_carried_out_by_its_child(ledger):
    """It is written once, by the parent."""
    async with busy_thread(ledger):
        tasks = start(*(ledger.add(make_entry()) for _ in range(3)))
        await asyncio.sleep(0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # newer Pythons: there are threads
            pid = os.fork()
        if pid == 0:
            try:
                added = asyncio.run(asyncio.wait_for(ledger.add(make_entry()), 10))
                os._exit(0 if added.revision == 1 else 1)
            finally:
                os._exit(2)
        _, status = await asyncio.to_thread(os.waitpid, pid, 0)
    await asyncio.gather(*tasks)

    assert os.waitstatus_to_exitcode(status) == 0
    assert len(await ledger.find()) == 4
