"""The ledger on a server: connections that break, schemas, secrets. A real server, and a proxy that cuts the wire."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import pickle
import sys
import traceback
import warnings
from urllib.parse import urlsplit

import attrs
import pytest

from kie_core._budget import Limit
from kie_core._errors import LedgerError
from kie_core._ledger import schema
from kie_core._ledger.entry import Entry, Plan
from kie_core._ledger.ledger import Ledger
from kie_core._ledger.place import open_database
from kie_core._ledger.postgres import SCHEMA, PostgresDatabase, _numbered
from kie_core._ledger.schema import MIGRATIONS

pytestmark = pytest.mark.anyio

NUMBERS = itertools.count()
PASSWORD = "Corr3ct-Horse"


def make_entry(**plan):
    plan = Plan(
        model="veo3", category="veo3", media="video", wire="dedicated", create="/create", query="/query",
        task_param="taskId", callback_field=None, contract=100, credits=None, wire_price=None, unit=None,
        kopecks_per_credit="100", limits=(Limit("user:7", 500),), seconds=3600.0, **plan,
    )  # fmt: skip
    number = f"job-{os.getpid()}-{next(NUMBERS)}"
    return Entry(id=number, account="account-1", plan=plan, inputs=None, fingerprint="f" * 64)


@pytest.fixture
async def ledger(postgres_place):
    opened = Ledger(PostgresDatabase(postgres_place))
    yield opened
    await opened.close()


async def sql(ledger, text, **values):
    def work(_):
        return (yield text, values)

    return await ledger.database.run(work)


# --- statements ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "numbered", "names"),
    [
        ("SELECT :a, :b, :a", "SELECT $1, $2, $1", ("a", "b")),
        ("SELECT ':a', ':a'':b', :c", "SELECT ':a', ':a'':b', $1", ("c",)),
        ('SELECT ":a" AS ":b", :c::text', 'SELECT ":a" AS ":b", $1::text', ("c",)),
        ("SELECT 1", "SELECT 1", ()),
        ("(:s0, :s1, :s10)", "($1, $2, $3)", ("s0", "s1", "s10")),
    ],
)
def test_names_become_numbers(text, numbered, names):
    """Not in quotes, not in casts, and one number for one name."""
    assert _numbered(text) == (numbered, names)


async def test_what_is_committed_is_on_the_disk(postgres_place):
    """Even for a role or a server that is set to answer sooner."""
    ledger = Ledger(PostgresDatabase(f"{postgres_place}&synchronous_commit=off"))

    [row] = await sql(ledger, "SELECT current_setting('synchronous_commit') AS kind")

    assert row["kind"] == "on"
    await ledger.close()


async def test_a_question_cannot_write(ledger):
    """The server itself refuses."""

    def work(_):
        yield "DELETE FROM job", {}

    with pytest.raises(LedgerError, match="read-only"):
        await ledger.database.run(work, write=False)


async def test_the_time_is_the_servers(ledger):
    """One clock for all machines."""
    before = await sql(ledger, "SELECT extract(epoch FROM clock_timestamp())::float8 AS now")
    entry = await ledger.add(make_entry())
    after = await sql(ledger, "SELECT extract(epoch FROM clock_timestamp())::float8 AS now")

    assert before[0]["now"] <= entry.created_at <= after[0]["now"]


async def test_who_waits_for_a_lock_is_given_a_fresh_time(ledger):
    """A transaction that was held up does not act on the time at which it began to wait."""
    entry = await ledger.add(make_entry())
    held, go_on = asyncio.Event(), asyncio.Event()
    connection = await (await ledger.database._pool()).acquire()

    async def hold():
        async with connection.transaction():
            await connection.execute(f'UPDATE "{ledger.database.schema}".job SET owner = owner')
            held.set()
            await go_on.wait()

    holder = asyncio.create_task(hold())
    await held.wait()
    times, again = [], asyncio.Event()

    def work(now):
        times.append(now)
        if len(times) > 1:
            again.set()
        yield "UPDATE job SET owner = NULL WHERE id = :id", {"id": entry.id}

    waiter = asyncio.create_task(ledger.database.run(work))
    await asyncio.wait_for(again.wait(), 10)
    go_on.set()
    await asyncio.gather(holder, waiter)
    await (await ledger.database._pool()).release(connection)

    assert times == sorted(set(times))


# --- schemas -------------------------------------------------------------------------------


async def test_many_processes_may_start_at_once(postgres_place):
    """The tables are made once."""
    ledgers = [Ledger(PostgresDatabase(postgres_place)) for _ in range(8)]

    await asyncio.gather(*(one.add(make_entry()) for one in ledgers))

    assert len(await ledgers[0].find()) == 8
    assert [row["version"] for row in await sql(ledgers[1], "SELECT version FROM kie_ledger_version")] == [
        len(MIGRATIONS)
    ]
    for one in ledgers:
        await one.close()


async def test_an_old_ledger_is_led_to_the_new_schema(ledger, postgres_place, monkeypatch):
    """With its rows; and the types are the server's."""
    entry = await ledger.add(make_entry())
    step = ("ALTER TABLE job ADD COLUMN colour TEXT", "CREATE TABLE extra (number INTEGER NOT NULL, share REAL)")
    monkeypatch.setattr(schema, "MIGRATIONS", (*MIGRATIONS, step))
    newer = Ledger(PostgresDatabase(postgres_place))

    assert await newer.get(entry.id) == entry
    types = await sql(
        newer,
        "SELECT data_type FROM information_schema.columns WHERE table_name = 'extra' AND table_schema = current_schema()"
        " ORDER BY ordinal_position",
    )
    assert [row["data_type"] for row in types] == ["bigint", "double precision"]
    await newer.close()


async def test_a_ledger_of_a_newer_version_is_refused(ledger, postgres_place):
    """And not changed; the next call asks again."""
    await ledger.add(make_entry())
    await sql(ledger, "UPDATE kie_ledger_version SET version = version + 1")
    older = Ledger(PostgresDatabase(postgres_place))

    for _ in range(2):
        with pytest.raises(LedgerError, match="pip install -U kie-core"):
            await older.find()
    await sql(ledger, "UPDATE kie_ledger_version SET version = version - 1")
    assert len(await older.find()) == 1
    await older.close()


def test_the_tables_have_a_schema_of_their_own():
    """Unless the URL names one; it is not sent to the server as a setting, which PgBouncer would refuse."""
    plain = PostgresDatabase("postgresql://u:p@db.example/app?sslmode=require")
    named = PostgresDatabase("postgresql://u:p@db.example/app?search_path=bots,public&sslmode=require")

    assert (plain.schema, named.schema) == (SCHEMA, "bots")
    assert named._url.reveal() == plain._url.reveal() == "postgresql://u:p@db.example/app?sslmode=require"


def test_what_was_spilt_lies_in_the_same_place_after_the_password_has_changed():
    """And other tables have another place."""
    old, new, other = (
        open_database(f"postgresql://{user}@db.example/app?search_path={path}")[1]
        for user, path in (("u:old", "bots"), ("v:new", "bots"), ("u:old", "shop"))
    )

    assert old == new != other


async def test_an_odd_schema_is_a_name(postgres):
    """Not a piece of SQL."""
    name = 'kie"test; drop--'
    ledger = Ledger(PostgresDatabase(f"{postgres}?search_path={name}"))
    try:
        await ledger.add(make_entry())
        [row] = await sql(ledger, "SELECT current_schema() AS name")
        assert row["name"] == name
    finally:
        await sql(ledger, 'DROP SCHEMA "kie""test; drop--" CASCADE')
        await ledger.close()


# --- connections ---------------------------------------------------------------------------


async def end_connections(ledger, postgres):
    """What a server that starts anew does to everybody."""
    asyncpg = pytest.importorskip("asyncpg")
    pids = [row["pid"] for row in await asyncio.gather(*(backend(ledger) for _ in range(4)))]
    connection = await asyncpg.connect(postgres)
    for pid in set(pids):
        await connection.execute("SELECT pg_terminate_backend($1)", pid)
    await connection.close()


async def backend(ledger):
    [row] = await sql(ledger, "SELECT pg_backend_pid() AS pid, pg_sleep(0.05)")
    return row


async def test_a_connection_that_was_ended_is_replaced(ledger, postgres):
    """Nobody notices."""
    entry = await ledger.add(make_entry())

    await end_connections(ledger, postgres)

    assert await ledger.get(entry.id) == entry
    assert len(await asyncio.gather(*(ledger.add(make_entry()) for _ in range(20)))) == 20


async def test_a_connection_that_is_ended_again_and_again_is_an_error(ledger, postgres):
    """Of the kind that passes by itself; nothing was written."""
    before = await ledger.add(make_entry())

    def work(_):
        yield "DELETE FROM job", {}
        yield "SELECT pg_terminate_backend(pg_backend_pid())", {}

    with pytest.raises(LedgerError) as caught:
        await ledger.database.run(work)

    assert caught.value.kind == "busy"
    assert await ledger.find() == [before]


async def test_two_that_lock_crosswise_both_succeed(ledger):
    """The server ends one of them, and it begins anew."""
    first, second = await ledger.add(make_entry()), await ledger.add(make_entry())
    runs = []

    def locking(*ids):
        def work(_):
            runs.append(ids)
            for job in ids:
                yield "UPDATE job SET owner = :owner WHERE id = :id", {"owner": ids[0], "id": job}
                yield "SELECT pg_sleep(0.2)", {}

        return work

    await asyncio.gather(
        ledger.database.run(locking(first.id, second.id)), ledger.database.run(locking(second.id, first.id))
    )

    assert len(runs) > 2
    assert len({(await ledger.get(job.id)).owner for job in (first, second)}) == 1


async def test_a_cancelled_caller_does_not_spoil_the_connections(ledger):
    """What it began is ended, whole, and all connections can be used."""
    entries = [await ledger.add(make_entry()) for _ in range(12)]
    tasks = [asyncio.create_task(ledger.claim(entry, interval=0.0, most=99)) for entry in entries]
    await asyncio.sleep(0.01)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

    await asyncio.gather(*list(ledger.database._tasks))

    found = [await ledger.get(entry.id) for entry in entries]
    assert {entry.state for entry in found} == {"leased"}
    states = await sql(
        ledger,
        "SELECT count(*) AS open FROM pg_locks JOIN pg_class ON relation = pg_class.oid WHERE relname = 'job'"
        " AND relnamespace = current_schema()::regnamespace AND pid <> pg_backend_pid()",
    )
    assert states[0]["open"] == 0


@attrs.define
class Wire:
    """A proxy before the server, which can cut the wire when somebody commits."""

    host: str
    port: int
    cut: str = ""  # "before" the server hears of it, or "after" it answered

    @contextlib.asynccontextmanager
    async def open(self):
        server = await asyncio.start_server(self._connection, "127.0.0.1", 0)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()

    async def _connection(self, reader, writer):
        server_reader, server_writer = await asyncio.open_connection(self.host, self.port)
        hears = asyncio.create_task(self._answers(server_reader, writer))
        try:
            while data := await reader.read(65536):
                if b"COMMIT;" in data and self.cut:
                    how, self.cut = self.cut, ""
                    hears.cancel()
                    await asyncio.gather(hears, return_exceptions=True)
                    if how == "after":
                        server_writer.write(data)
                        await server_reader.read(65536)
                    break
                server_writer.write(data)
        except ConnectionError:
            pass
        finally:
            hears.cancel()
            for end in (server_writer, writer):
                end.close()

    async def _answers(self, reader, writer):
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
        writer.close()


@pytest.mark.parametrize("cut", ["before", "after"])
async def test_a_commit_whose_answer_is_lost_is_looked_up(postgres_place, cut):
    """Written once, and the caller is told the truth, on which side of the commit the wire broke."""
    parts = urlsplit(postgres_place)
    wire = Wire(parts.hostname, parts.port or 5432)
    async with wire.open() as port:
        netloc = f"{parts.netloc.rpartition('@')[0]}@127.0.0.1:{port}"
        ledger = Ledger(
            PostgresDatabase(parts._replace(netloc=netloc, query=f"{parts.query}&sslmode=disable").geturl())
        )
        await ledger.find()
        wire.cut = cut

        runs = []

        def work(now):
            runs.append(now)
            yield "INSERT INTO budget (scope, spent, reserved) VALUES ('a', 0, 0) ON CONFLICT DO NOTHING", {}
            return len(runs)

        said = await ledger.database.run(work)

        assert wire.cut == ""
        assert said == len(runs) == {"before": 2, "after": 1}[cut]
        assert len(await ledger.balances()) == 1
        await ledger.close()


def test_one_ledger_serves_one_loop_after_the_other(postgres_place):
    """Even when the first was not closed; no connection stays open."""
    ledger = Ledger(PostgresDatabase(postgres_place))
    asyncio.run(ledger.add(make_entry()))
    asyncio.run(ledger.add(make_entry()))

    async def end():
        found = await ledger.find()
        await ledger.close()
        return found

    assert len(asyncio.run(end())) == 2


def ended(pid, pipe):
    """What a child said until its end."""
    with os.fdopen(pipe) as file:
        said = file.read()
    os.waitpid(pid, 0)
    return said


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
async def test_after_a_fork_the_child_is_somebody_else(ledger):
    """With connections of its own, and those of the parent stay open."""
    entry = await ledger.add(make_entry())
    reading, writing = os.pipe()

    async def child():
        found = await ledger.get(entry.id)
        await ledger.add(make_entry())
        await ledger.close()
        return found == entry, ledger.owner

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # newer Pythons: there are threads
        pid = os.fork()
    if pid == 0:
        try:
            os.write(writing, str(asyncio.run(child())).encode())
        except BaseException:
            os.write(writing, traceback.format_exc().encode())
        finally:
            os._exit(0)
    os.close(writing)
    said = ended(pid, reading)

    assert said.startswith("(True, ")
    assert ledger.owner not in said
    assert len(await ledger.find()) == 2


# --- errors and secrets --------------------------------------------------------------------


def everything_said(error):
    return "".join(traceback.format_exception(error)) + repr(error) + str(error)


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://bot:{PASSWORD}@127.0.0.1:1/app",
        f"postgresql://bot:{PASSWORD}@127.0.0.1:1/app?password={PASSWORD}",
        f"postgresql://bot@127.0.0.1:1/app?password={PASSWORD}@x",
        f"postgresql://bot:a/{PASSWORD}@127.0.0.1:1/app",
        f"postgresql://bot:a?{PASSWORD}@127.0.0.1:1/app",
        f"postgresql://bot:a#{PASSWORD}@127.0.0.1:1/app",
        f"postgresql://bot:{PASSWORD}?b@127.0.0.1:1/app",
        f"postgresql://bot:a@{PASSWORD}@127.0.0.1:1/app",
        f"postgresql://bot:{PASSWORD}@[::1/app",
        f"postgresql://bot:{PASSWORD}@127.0.0.1:1/app?sslmode=perhaps",
    ],
)
async def test_no_message_shows_the_password(url):
    """Wherever it stands, and however badly the URL is written."""
    pytest.importorskip("asyncpg")
    database = PostgresDatabase(url)

    with pytest.raises(LedgerError) as caught:
        await Ledger(database).find()

    said = [everything_said(caught.value), database.place, repr(database), repr(vars(database))]
    assert not [text for text in said if PASSWORD in text]
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


async def test_a_server_that_is_not_there_is_busy():
    """It may come back; the remedy says what else it may be."""
    pytest.importorskip("asyncpg")
    with pytest.raises(LedgerError) as caught:
        await Ledger(PostgresDatabase("postgresql://bot@127.0.0.1:1/app")).find()

    assert (caught.value.kind, "KIE_LEDGER" in str(caught.value)) == ("busy", True)


async def test_a_database_that_is_not_there_is_named(postgres):
    """With the remedy."""
    url = urlsplit(postgres)._replace(path="/kie_test_nowhere").geturl()

    with pytest.raises(LedgerError, match="create the database"):
        await Ledger(PostgresDatabase(url)).find()


async def test_no_message_shows_what_a_row_holds(ledger):
    """The server's details may quote a prompt."""
    entry = await ledger.add(make_entry())

    def work(_):
        yield "UPDATE job SET reserved = -1, inputs = 'a fox in secret' WHERE id = :id", {"id": entry.id}

    with pytest.raises(LedgerError) as caught:
        await ledger.database.run(work)

    assert "secret" not in everything_said(caught.value)
    assert caught.value.kind == ""


async def test_a_table_that_was_dropped_is_damage(ledger):
    """Nothing is sent any more."""
    await ledger.add(make_entry())
    await sql(ledger, "DROP TABLE budget")

    with pytest.raises(LedgerError) as caught:
        await ledger.balances()
    assert caught.value.kind == "corrupt"


async def test_without_its_driver_the_extra_is_named(monkeypatch):
    """Not an ImportError."""
    monkeypatch.setitem(sys.modules, "asyncpg", None)

    with pytest.raises(LedgerError, match=r"kie-core\[postgres\]"):
        await Ledger(PostgresDatabase("postgresql://bot@127.0.0.1:1/app")).find()


async def test_it_keeps_no_ballast(ledger):
    """The disk is the server's."""
    assert await ledger.database.make_room() is False
