"""The ledger's file: what it refuses, what it survives, and who may read it. Real files, real locks."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
import traceback
import warnings

import attrs
import pytest

from kie_core._budget import Limit
from kie_core._errors import LedgerError
from kie_core._ledger import schema, sqlite
from kie_core._ledger.entry import Entry, Inputs, Plan
from kie_core._ledger.ledger import Ledger
from kie_core._ledger.process import alive, here
from kie_core._ledger.rows import columns_of
from kie_core._ledger.schema import MIGRATIONS
from kie_core._ledger.sqlite import BALLAST, SqliteDatabase

pytestmark = pytest.mark.anyio

NUMBERS = itertools.count()
SECRET = "a-fox-that-nobody-else-writes-about"


def make_entry(prompt="a fox"):
    plan = Plan(
        model="veo3", category="veo3", media="video", wire="dedicated", create="/create", query="/query",
        task_param="taskId", callback_field=None, contract=100, credits=None, wire_price=None, unit=None,
        kopecks_per_credit="100", limits=(), seconds=3600.0,
    )  # fmt: skip
    inputs = Inputs(params={"prompt": prompt}, given=("prompt",), body={"text": prompt})
    return Entry(
        id=f"job-{os.getpid()}-{next(NUMBERS)}", account="account-1", plan=plan, inputs=inputs, fingerprint="f" * 64
    )


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state" / "ledger.sqlite"


@pytest.fixture
async def ledger(path):
    opened = Ledger(SqliteDatabase(str(path)))
    yield opened
    await opened.close()


async def refusal(path):
    """What is said of a file that cannot be used."""
    database = SqliteDatabase(str(path))
    try:
        with pytest.raises(LedgerError) as caught:
            await Ledger(database).add(make_entry())
    finally:
        await database.close()
    return caught.value


# --- files that are no ledger --------------------------------------------------------------


@pytest.mark.parametrize(
    "content", [b"no ledger, but a text\n" * 100, b"\0" * 8192, b"SQLite format 3\0" + b"x" * 5000]
)
async def test_a_file_of_something_else_is_refused_and_left_alone(path, content):
    """It is not overwritten."""
    path.parent.mkdir()
    path.write_bytes(content)

    error = await refusal(path)

    assert (error.kind, str(path) in str(error)) == ("corrupt", True)
    assert path.read_bytes() == content


async def test_a_damaged_ledger_is_refused(ledger, path):
    """Before anything is done with it; and the way out is named."""
    for _ in range(50):
        await ledger.add(make_entry("x" * 2000))
    await ledger.close()
    content = bytearray(path.read_bytes())
    content[8192:40960] = b"\xa5" * (40960 - 8192)
    path.write_bytes(content)

    error = await refusal(path)

    assert error.kind == "corrupt"
    assert "https://kie.ai/logs" in str(error)


@pytest.mark.parametrize("version", [-1, 0, *range(1, len(MIGRATIONS))])
async def test_a_database_of_another_program_is_refused(path, version):
    """Its tables stay alone in it, whatever version it gives itself."""
    path.parent.mkdir()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE bookmarks (url TEXT)")
        connection.execute(f"PRAGMA user_version = {version}")
    connection.close()

    error = await refusal(path)

    assert "something else" in str(error)
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("bookmarks",)]
    connection.close()


async def test_a_ledger_of_a_newer_version_is_refused(ledger, path):
    """And not changed."""
    await ledger.add(make_entry())
    await ledger.close()
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    connection.close()
    before = path.read_bytes()

    error = await refusal(path)

    assert "pip install -U kie-core" in str(error)
    assert path.read_bytes() == before


async def test_an_old_sqlite_is_refused(path, monkeypatch):
    """Its tables would not be strict."""
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 36, 0))

    assert "3.37" in str(await refusal(path))
    assert not path.exists()


async def test_a_folder_is_no_ledger(tmp_path):
    """It says so."""
    assert "KIE_LEDGER" in str(await refusal(tmp_path))


def in_child(behave):
    """Carry out *behave* in a fork, and return what it returned, as text."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # newer Pythons: there are threads
        pid = os.fork()
    if pid == 0:
        try:
            os.write(writing, str(behave()).encode())
        except BaseException:
            os.write(writing, traceback.format_exc().encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        text = pipe.read().decode()
    os.waitpid(pid, 0)
    return text


def as_nobody(behave):
    """Root may write everywhere: become somebody else, in a fork."""

    def become():
        if os.getuid() == 0:
            os.setgid(65534)
            os.setuid(65534)
        return behave()

    return in_child(become)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("is_there", [False, True])
async def test_a_folder_that_cannot_be_written_is_refused(path, is_there):
    """Whether the file is there already or not."""
    path.parent.mkdir()
    if is_there:
        first = Ledger(SqliteDatabase(str(path)))
        await first.add(make_entry())
        await first.close()
        path.with_name(path.name + ".ballast").unlink()
    for folder in (path.parent, *path.parent.parents[:2]):
        folder.chmod(0o555)
    try:
        said = as_nobody(lambda: asyncio.run(refusal(path)))
    finally:
        for folder in (path.parent, *path.parent.parents[:2]):
            folder.chmod(0o755)

    assert "it cannot be written" in said
    assert "Traceback" not in said


# --- others at work ------------------------------------------------------------------------

HOLD = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def held_by_another_process(path):
    with subprocess.Popen([sys.executable, "-c", HOLD, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        yield
        other.stdin.close()


async def test_a_lock_that_is_held_too_long_is_an_error(ledger, path, monkeypatch):
    """Of the kind that passes by itself."""
    await ledger.add(make_entry())
    await ledger.close()
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.2)

    with held_by_another_process(path):
        error = await refusal(path)

    assert error.kind == "busy"
    assert len(await ledger.find()) == 1


async def test_a_ledger_opens_while_another_process_writes(ledger, path, monkeypatch):
    """Only one of an older version has to be written to for that."""
    entry = await ledger.add(make_entry())
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.0)
    other = Ledger(SqliteDatabase(str(path)))

    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        found = await other.find()

    assert found == [entry]
    await other.close()


async def test_what_another_process_is_making_is_not_taken_for_an_emptied_ledger(path, monkeypatch):
    """Without tables, and with a ballast beside it: who may not look under the lock does not judge."""
    path.parent.mkdir()
    path.touch()
    path.with_name(path.name + ".ballast").touch()
    assert (await refusal(path)).kind == "corrupt"
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.2)

    with held_by_another_process(path):
        error = await refusal(path)

    assert error.kind == "busy"


async def test_two_clients_share_one_file(path):
    """Each with a name of its own, many at once, and nothing is lost."""
    one, two = Ledger(SqliteDatabase(str(path))), Ledger(SqliteDatabase(str(path)))

    await asyncio.gather(*(side.add(make_entry()) for _ in range(50) for side in (one, two)))

    assert one.owner != two.owner
    assert len(await one.find()) == len(await two.find()) == 100
    await one.close()
    await two.close()


# --- a full disk ---------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 2 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "kie-test", folder], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip("cannot mount a small disk here")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def fill(folder):
    with contextlib.suppress(OSError), (folder / "rest").open("wb", buffering=0) as rest:
        while True:
            rest.write(b"x" * 4096)


async def test_on_a_full_disk_the_ballast_makes_room(small_disk):
    """The write fails, says why and changes nothing; after the ballast is gone it succeeds."""
    path = small_disk / "ledger.sqlite"
    ledger = Ledger(SqliteDatabase(str(path)))
    first = await ledger.add(make_entry())
    fill(small_disk)

    with pytest.raises(LedgerError) as caught:
        await ledger.add(make_entry("x" * 200_000))

    assert caught.value.kind == "full"
    assert await ledger.find() == [first]
    assert await ledger.database.make_room() is True
    await ledger.add(make_entry("x" * 200_000))
    assert await ledger.database.make_room() is False
    assert len(await ledger.find()) == 2
    await ledger.close()


async def test_a_file_that_may_not_grow_is_full(ledger, path):
    """Where no small disk can be mounted: the same answer."""
    await ledger.add(make_entry())
    ledger.database._commits.connection.execute("PRAGMA max_page_count = 1").fetchall()

    with pytest.raises(LedgerError) as caught:
        await ledger.add(make_entry("x" * 1_000_000))

    assert caught.value.kind == "full"
    assert len(await ledger.find()) == 1


async def test_without_room_for_ballast_the_ledger_works(path, caplog, monkeypatch):
    """It warns."""

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sqlite.os, "urandom", full)
    database = SqliteDatabase(str(path))

    await Ledger(database).add(make_entry())

    assert "no space can be kept" in caplog.text
    assert not path.with_name(path.name + ".ballast").exists()
    assert await database.make_room() is False
    await database.close()


async def test_the_ballast_of_another_process_stays(ledger, path, monkeypatch):
    """Two processes that start together do not take it from each other."""
    path.parent.mkdir()
    ballast = path.with_name(path.name + ".ballast")
    ballast.write_bytes(b"x" * BALLAST)
    exists = type(ballast).exists
    monkeypatch.setattr(type(ballast), "exists", lambda self: self != ballast and exists(self))

    await ledger.add(make_entry())

    monkeypatch.undo()
    assert ballast.stat().st_size == BALLAST


# --- versions ------------------------------------------------------------------------------


async def test_an_old_ledger_is_led_to_the_new_schema(ledger, path, monkeypatch):
    """With its rows, and once, however many open it."""
    entry = await ledger.add(make_entry())
    await ledger.close()
    step = ("ALTER TABLE job ADD COLUMN colour TEXT", "CREATE TABLE extra (number INTEGER NOT NULL, share REAL)")
    monkeypatch.setattr(schema, "MIGRATIONS", (*MIGRATIONS, step))

    others = [Ledger(SqliteDatabase(str(path))) for _ in range(4)]
    found = await asyncio.gather(*(other.get(entry.id) for other in others))

    assert found == [entry] * 4
    for other in others:
        await other.close()
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS) + 1,)
        assert connection.execute("SELECT colour FROM job").fetchall() == [(None,)]
    connection.close()


async def test_the_jobs_of_the_first_schema_count_on_their_scopes(path):
    """It named them in the plans alone; what runs and what waits goes on."""
    path.parent.mkdir()
    with sqlite3.connect(path, isolation_level=None) as connection:
        for statement in MIGRATIONS[0]:
            connection.execute(statement)
        connection.execute("PRAGMA user_version = 1")
        for scope in ("account:account-1", "user:7", "user:70"):
            connection.execute("INSERT INTO budget VALUES (?, 500, 0, 100)", (scope,))
        entries = [attrs.evolve(make_entry(), revision=1) for _ in range(2)]
        for entry, scope in zip(entries, ("user:7", "user:70"), strict=True):
            limits = (Limit("account:account-1"), Limit(scope, 500))
            columns = columns_of(attrs.evolve(entry, plan=attrs.evolve(entry.plan, limits=limits)))
            names = ", ".join(f":{name}" for name in columns)
            connection.execute(f"INSERT INTO job ({', '.join(columns)}) VALUES ({names})", columns)
    connection.close()
    ledger = Ledger(SqliteDatabase(str(path)))

    booked = [[one.id for one in await ledger.booked(scope)] for scope in ("user:7", "user:70", "account:account-1")]
    leased = await ledger.claim(await ledger.get(entries[0].id), interval=0.0, most=1)
    intent = await ledger.intend(leased)

    assert booked == [[entries[0].id], [entries[1].id], sorted(entry.id for entry in entries)]
    assert intent.state == "submitting"
    assert [(one.scope, one.reserved) for one in await ledger.balances()] == [
        ("account:account-1", 200), ("user:7", 200), ("user:70", 100),
    ]  # fmt: skip
    await ledger.close()


async def test_a_step_that_fails_leaves_the_old_schema(ledger, path, monkeypatch):
    """All of the step, or nothing."""
    await ledger.add(make_entry())
    await ledger.close()
    monkeypatch.setattr(
        schema, "MIGRATIONS", (*MIGRATIONS, ("CREATE TABLE extra (x TEXT)", "CREATE TABLE job (x TEXT)"))
    )
    await refusal(path)
    monkeypatch.undo()

    assert len(await ledger.find()) == 1


async def test_the_tables_are_strict(ledger, path):
    """A word in a column of numbers is refused."""
    await ledger.add(make_entry())

    with sqlite3.connect(path) as connection, pytest.raises(sqlite3.IntegrityError):
        connection.execute("UPDATE job SET reserved = 'much'")
    connection.close()


# --- secrets -------------------------------------------------------------------------------


async def test_only_its_owner_may_read_the_ledger(ledger, path):
    """File and folder."""
    await ledger.add(make_entry())

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


async def test_what_was_forgotten_is_not_in_the_file(ledger, path):
    """Nor in what lies beside it; not even as a page that is free."""
    entry = await ledger.add(make_entry(SECRET * 1000))
    assert SECRET.encode() in path.read_bytes()

    await ledger.forget(entry.id)
    await ledger.close()

    assert not [file for file in path.parent.iterdir() if SECRET.encode() in file.read_bytes()]


# --- processes and loops -------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
async def test_after_a_fork_the_child_is_somebody_else(ledger, path):
    """With a connection of its own, and the parent goes on."""
    entry = await ledger.add(make_entry())

    def child():
        async def work():
            found = [one.id for one in await ledger.find()]
            await ledger.add(make_entry())
            return found == [entry.id], ledger.owner

        return asyncio.run(work())

    said = in_child(child)

    assert said.startswith("(True, ")
    assert ledger.owner not in said
    await ledger.add(make_entry())
    assert len(await ledger.find()) == 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
async def test_a_ledger_in_memory_does_not_survive_a_fork():
    """The child is told; it would be another, empty one."""
    ledger = Ledger(SqliteDatabase("memory:"))
    await ledger.add(make_entry())

    assert "does not survive a fork" in in_child(lambda: asyncio.run(ledger.find()))
    await ledger.close()


def test_one_ledger_serves_one_loop_after_the_other(path):
    """Even when the first was not closed."""
    ledger = Ledger(SqliteDatabase(str(path)))
    asyncio.run(ledger.add(make_entry()))
    asyncio.run(ledger.add(make_entry()))

    async def end():
        assert len(await ledger.find()) == 2
        await ledger.close()

    asyncio.run(end())


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill")
def test_this_process_lives_and_one_that_ended_does_not():
    """And of other machines nobody can tell."""
    host, pid = here()
    with subprocess.Popen([sys.executable, "-c", ""]) as other:
        other.wait()

    assert alive(host, pid) is True
    assert alive(host, os.getppid()) is True
    assert alive(host, other.pid) is False
    assert alive("elsewhere", pid) is None


async def test_the_time_is_that_of_the_transaction(path):
    """Not of the moment when somebody asked for it; and tests may say what it is."""
    clock = itertools.count(1000.0).__next__
    ledger = Ledger(SqliteDatabase(str(path), clock=clock))

    first, second = await ledger.add(make_entry()), await ledger.add(make_entry())

    assert (first.created_at, second.created_at) == (1000.0, 1001.0)
    assert time.time() > 1_000_000
    await ledger.close()


async def test_a_second_client_of_the_process_leaves_the_locks_of_the_first_alone(tmp_path):
    """POSIX drops every lock of a process on a file when one of its descriptors is closed."""
    place, inside, go_on = tmp_path / "ledger.sqlite", threading.Event(), threading.Event()
    first, second = SqliteDatabase(str(place)), SqliteDatabase(str(place))

    def holding(_):
        yield "UPDATE process SET pid = 1", {}
        inside.set()
        go_on.wait(10)

    def reading(_):
        yield "SELECT 1", {}

    await first.run(reading)
    held = asyncio.ensure_future(first.run(holding))
    await asyncio.to_thread(inside.wait, 10)
    opened = asyncio.ensure_future(second.run(reading))
    await asyncio.sleep(0.1)
    intruder = (
        "import sqlite3, sys\n"
        "connection = sqlite3.connect(sys.argv[1], timeout=0, isolation_level=None)\n"
        "try:\n    connection.execute('BEGIN IMMEDIATE')\n"
        "except sqlite3.OperationalError as error:\n    print(error)\n"
    )
    words = [sys.executable, "-c", intruder, str(place)]
    said = await asyncio.to_thread(subprocess.run, words, capture_output=True, text=True, check=True)
    go_on.set()
    await asyncio.gather(held, opened)
    await first.close()
    await second.close()

    assert said.stdout.strip() == "database is locked"
