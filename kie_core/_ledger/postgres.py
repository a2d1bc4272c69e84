"""The ledger on a Postgres server, for many machines."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import re
import secrets
from collections.abc import AsyncGenerator, Callable, Mapping
from functools import lru_cache
from typing import Any, Final, TypeVar, cast
from urllib.parse import parse_qsl, urlencode

import attrs

from kie_core._errors import LedgerError
from kie_core._ledger.schema import migrated, schema_version
from kie_core._ledger.transaction import Transaction
from kie_core._secret import Secret

T = TypeVar("T")
#: Where the tables are unless the URL names a ``search_path``: their names are too common for ``public``.
SCHEMA: Final = "kie_ledger"
#: Connections per process. What they commit at the same moment the server itself writes to its disk at once.
CONNECTIONS: Final = 4
#: Seconds for a new connection.
CONNECT_SECONDS: Final = 15.0
#: Seconds that a transaction waits for others, or for a server that comes back.
BUSY_SECONDS: Final = 30.0
#: Who waits longer for one lock begins anew: the time that the transaction was given has grown old.
LOCK_SECONDS: Final = 0.5
_OLDEST: Final = 12

#: A conflict with another transaction: it was rolled back and may be repeated. Deadlock, serialization, lock timeout.
_CONFLICTS: Final = frozenset({"40001", "40P01", "55P03"})
#: The server ends, starts, or is overrun, besides all of class 08.
_UNREACHABLE: Final = frozenset({"57P01", "57P02", "57P03", "57P05", "53300", "57014"})

_BEGIN: Final = """SELECT extract(epoch FROM clock_timestamp())::float8 AS now,
    set_config('search_path', $1, true),
    set_config('lock_timeout', $2, true),
    set_config('synchronous_commit', CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on'
        ELSE current_setting('synchronous_commit') END, true)"""
_BEGIN_WRITING: Final = f"{_BEGIN}, txid_current() AS number"


@attrs.frozen
class _Done:
    """What a transaction returned, and its number."""

    value: Any
    number: int | None


class _Doubt(Exception):
    """The connection broke while a transaction was committed."""

    def __init__(self, done: _Done) -> None:
        super().__init__()
        self.done = done


class _Lost(Exception):
    """The connection broke before anything was committed."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error


class PostgresDatabase:
    """A ledger on a server, of Postgres 12 or newer. Also behind PgBouncer.

    Each event loop has its own connections. The tables are in a schema of their own, `SCHEMA`, or in
    the first of the ``search_path`` that the URL names.

    Args:
        url: ``postgresql://user:password@host:port/database``.

    Attributes:
        place: The URL without user, password and query.
        schema: Where the tables are.
    """

    def __init__(self, url: str) -> None:
        self.place = _without_password(url)
        self._url, self.schema = _parted(url)
        self._owner = ""
        self._pid = 0
        self._pools: dict[asyncio.AbstractEventLoop, asyncio.Task[tuple[Any, AsyncGenerator[None]]]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._left_alone: list[Any] = []

    async def run(self, work: Callable[[float], Transaction[T]], *, write: bool = True) -> T:
        """Do what `Database.run` says. A caller who is cancelled does not stop the transaction."""
        self._look_for_fork()
        task = asyncio.get_running_loop().create_task(self._carry_out(work, write))
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    def owner(self) -> str:
        """Return the name of this process, new at every start and after a fork."""
        self._look_for_fork()
        return self._owner

    async def make_room(self) -> bool:
        """Return False: the disk is the server's."""
        return False

    async def close(self) -> None:
        """Close this loop's connections when what is under way has ended; the next `run` opens new ones."""
        self._look_for_fork()
        loop = asyncio.get_running_loop()
        under_way = [task for task in self._tasks if task.get_loop() is loop]
        await asyncio.gather(*under_way, return_exceptions=True)
        opening = self._pools.pop(loop, None)
        if opening is not None:
            with contextlib.suppress(LedgerError):
                _, guard = await opening
                await guard.aclose()

    def _look_for_fork(self) -> None:
        if self._pid != os.getpid():
            # The sockets of a parent are not closed here: the server would take that for the parent's good-bye.
            self._left_alone += [self._pools, self._tasks]
            self._pools, self._tasks = {}, set()
            self._pid, self._owner = os.getpid(), secrets.token_hex(8)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # its caller may be gone

    # --- transactions ---------------------------------------------------------------------

    async def _carry_out(self, work: Callable[[float], Transaction[T]], write: bool) -> T:
        asyncpg = _driver(self.place)
        failures: tuple[type[BaseException], ...] = (*_failures(asyncpg), UnicodeEncodeError, OverflowError)
        clock = asyncio.get_running_loop().time
        until = clock() + BUSY_SECONDS
        broken = 0
        while True:
            try:
                done = await self._attempt(work, write)
            except _Lost as lost:
                broken += 1
                if broken > CONNECTIONS:  # all may have been idle while the server started anew
                    raise self._explained(lost.error) from lost.error
            except _Doubt as doubt:
                if await self._committed(doubt.done, until):
                    return cast("T", doubt.done.value)
            except failures as error:
                if getattr(error, "sqlstate", None) not in _CONFLICTS or clock() > until:
                    raise self._explained(error) from None  # a server's details may show values
                await asyncio.sleep(random.uniform(0.01, 0.1))
            else:
                return cast("T", done.value)

    async def _attempt(self, work: Callable[[float], Transaction[T]], write: bool) -> _Done:
        pool = await self._pool()
        connection = await pool.acquire(timeout=BUSY_SECONDS)
        try:
            transaction = connection.transaction(isolation="read_committed", readonly=not write)
            try:
                await transaction.start()
                done = await self._run(connection, work, write)
            except BaseException as error:
                try:
                    await transaction.rollback()
                except Exception:  # the connection is broken, or was not even in a transaction
                    _give_up(connection)
                if _is_lost(error):
                    raise _Lost(error) from error
                raise
            try:
                await transaction.commit()
            except Exception as error:
                if _is_lost(error):
                    _give_up(connection)
                    raise _Doubt(done) from error
                raise
            return done
        finally:
            with contextlib.suppress(Exception):  # what is committed stays so, even if the connection breaks now
                await pool.release(connection)

    async def _run(self, connection: Any, work: Callable[[float], Transaction[T]], write: bool) -> _Done:
        row = await connection.fetchrow(
            _BEGIN_WRITING if write else _BEGIN, _quoted(self.schema), f"{LOCK_SECONDS * 1000:.0f}ms"
        )
        transaction = work(row["now"])
        try:
            text, values = next(transaction)
            while True:
                statement, names = _numbered(text)
                rows = await connection.fetch(statement, *(values[name] for name in names))
                text, values = transaction.send(rows)
        except StopIteration as end:
            return _Done(end.value, row["number"] if write else None)

    async def _committed(self, done: _Done, until: float) -> bool:
        """Ask the server whether a transaction was committed whose answer was lost."""
        clock = asyncio.get_running_loop().time
        if done.number is None:
            return True  # it wrote nothing
        while True:
            try:
                pool = await self._pool()
                status = await pool.fetchval("SELECT txid_status($1)", done.number)
            except Exception as error:
                if not isinstance(error, LedgerError) and not _is_lost(error):
                    status = None
                elif clock() > until:
                    break
                else:
                    await asyncio.sleep(0.5)
                    continue
            if status in ("committed", "aborted"):
                return bool(status == "committed")
            if status is None or clock() > until:
                break
            await asyncio.sleep(0.2)
        problem = "the connection broke while it was written to, and nobody knows whether that was kept"
        raise LedgerError(self.place, problem, "look at `kie jobs` before you try again", "busy")

    # --- connections ----------------------------------------------------------------------

    async def _pool(self) -> Any:
        loop = asyncio.get_running_loop()
        opening = self._pools.get(loop)
        if opening is None:
            for ended in [known for known in self._pools if known.is_closed()]:
                del self._pools[ended]
            opening = self._pools[loop] = loop.create_task(self._open())
        try:
            pool, _ = await opening
        except BaseException:
            if self._pools.get(loop) is opening:
                del self._pools[loop]
            raise
        return pool

    async def _open(self) -> tuple[Any, AsyncGenerator[None]]:
        asyncpg = _driver(self.place)
        try:
            pool = await asyncpg.create_pool(
                self._url.reveal(),
                min_size=1,
                max_size=CONNECTIONS,
                timeout=CONNECT_SECONDS,
                command_timeout=BUSY_SECONDS,
                statement_cache_size=0,  # PgBouncer knows no prepared statements
                server_settings={"application_name": "kie-core"},
            )
        except (asyncpg.InterfaceError, ValueError):
            problem, remedy = (
                "its URL cannot be read",
                "write odd letters of the password as %40 and so on in KIE_LEDGER",
            )
            raise LedgerError(self.place, problem, remedy) from None
        except _failures(asyncpg) as error:
            raise self._explained(error) from error
        guard = _until_the_loop_ends(pool)
        await anext(guard)
        try:
            async with pool.acquire() as connection, connection.transaction():
                await self._migrate(connection)
        except LedgerError:
            await guard.aclose()
            raise
        except _failures(asyncpg) as error:
            await guard.aclose()
            raise self._explained(error) from error
        return pool, guard

    async def _migrate(self, connection: Any) -> None:
        if connection.get_server_version().major < _OLDEST:
            raise LedgerError(self.place, "the server is too old", f"use Postgres {_OLDEST} or newer")
        await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", f"kie-core {self.schema}")
        schema = _quoted(self.schema)
        if await connection.fetchval("SELECT to_regnamespace($1)::text", schema) is None:
            await connection.execute(f"CREATE SCHEMA {schema}")
        await connection.execute("SELECT set_config('search_path', $1, true)", schema)
        table = f"{schema}.kie_ledger_version"
        if await connection.fetchval("SELECT to_regclass($1)::text", table) is None:
            await connection.execute(f"CREATE TABLE {table} (version BIGINT NOT NULL)")
            await connection.execute(f"INSERT INTO {table} VALUES (0)")  # noqa: S608  (our own name)
        found = await connection.fetchval(f"SELECT max(version) FROM {table}")  # noqa: S608
        statements = list(migrated(found or 0, self.place))
        for statement in statements:
            await connection.execute(_translated(statement))
        if statements:
            await connection.execute(f"UPDATE {table} SET version = $1", schema_version())  # noqa: S608

    def _explained(self, error: BaseException) -> LedgerError:
        state = getattr(error, "sqlstate", None) or ""
        text = str(error.args[0] if error.args else error) or type(error).__name__  # without the server's details
        if isinstance(error, OSError) and not state:
            text = error.strerror or text
        text = f"{text} ({state})" if state else text
        if _is_lost(error):
            return LedgerError(
                self.place, f"the server cannot be reached: {text}", "try again, or check KIE_LEDGER", "busy"
            )
        if state in _CONFLICTS:
            return LedgerError(self.place, f"other processes hold it: {text}", "try again", "busy")
        if state == "53100":
            return LedgerError(self.place, f"it cannot be written: {text}", "make room on the server's disk", "full")
        if state.startswith("28"):
            return LedgerError(self.place, f"the server refuses: {text}", "check user and password in KIE_LEDGER")
        if state == "3D000":
            return LedgerError(self.place, f"the server refuses: {text}", "create the database, or check KIE_LEDGER")
        if state == "42501":
            remedy = f"let an administrator run: CREATE SCHEMA {_quoted(self.schema)} AUTHORIZATION <user>"
            return LedgerError(self.place, f"the server refuses: {text}", remedy)
        if state == "25006":
            return LedgerError(self.place, f"it cannot be written: {text}", "name the primary server in KIE_LEDGER")
        if isinstance(error, (ValueError, OverflowError)) or state[:2] in ("22", "23"):
            return LedgerError(self.place, f"it takes no such value: {text}", "nothing was written; use another value")
        remedy = "ask the server's administrator"
        return LedgerError(
            self.place, f"it is damaged or no ledger: {text}", remedy, "corrupt" if state[:2] in ("42", "XX") else ""
        )


async def _until_the_loop_ends(pool: Any) -> AsyncGenerator[None]:
    """A loop closes its generators before it ends, and so the connections of a caller who forgot to."""
    try:
        yield
    finally:
        try:
            await asyncio.wait_for(pool.close(), CONNECT_SECONDS)
        except Exception:  # a server that is gone does not say good-bye
            pool.terminate()


def _give_up(connection: Any) -> None:
    with contextlib.suppress(Exception):  # the pool may have given it up already
        connection.terminate()


def _driver(place: str) -> Any:
    try:
        import asyncpg
    except ImportError as error:
        raise LedgerError(place, "the package asyncpg is missing", "pip install 'kie-core[postgres]'") from error
    return asyncpg


def _failures(asyncpg: Any) -> tuple[type[BaseException], ...]:
    return asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError


def _is_lost(error: BaseException) -> bool:
    state = getattr(error, "sqlstate", None)
    if state is not None:
        return state in _UNREACHABLE or state.startswith("08")
    import asyncpg

    if isinstance(error, (asyncpg.InterfaceError, asyncpg.InternalClientError)):
        return not isinstance(error, ValueError)  # DataError: a value of ours
    return isinstance(error, OSError)  # TimeoutError is one


_PLACE: Final = re.compile(r"""'(?:[^']|'')*'|"[^"]*"|::|:([a-z_][a-z0-9_]*)""")


@lru_cache(maxsize=256)
def _numbered(text: str) -> tuple[str, tuple[str, ...]]:
    """Return *text* with ``$1`` for its first name, and the names in that order."""
    names: list[str] = []

    def number(match: re.Match[str]) -> str:
        name = match[1]
        if name is None:
            return match[0]
        if name not in names:
            names.append(name)
        return f"${names.index(name) + 1}"

    return _PLACE.sub(number, text), tuple(names)


_TYPES: Final[Mapping[str, str]] = {
    "INTEGER PRIMARY KEY": "BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY",
    "INTEGER": "BIGINT",
    "REAL": "DOUBLE PRECISION",
}


def _translated(statement: str) -> str:
    return re.sub(r"\b(INTEGER PRIMARY KEY|INTEGER|REAL)\b", lambda match: _TYPES[match[1]], statement)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _without_password(url: str) -> str:
    """Return where a URL leads, without user and password, even if these hold letters that they should not."""
    rest = url.partition("://")[2]
    head = re.split(r"[?#]", rest, maxsplit=1)[0]
    if "@" in rest and "@" not in head:
        return "postgresql://..."
    return f"postgresql://{head.rpartition('@')[2]}"


def _parted(url: str) -> tuple[Secret, str]:
    """Return the URL to connect to, and the schema that it names. PgBouncer knows no ``search_path``."""
    head, mark, query = url.partition("?")
    pairs = parse_qsl(query, keep_blank_values=True) if mark else []
    path = next((value for name, value in pairs if name == "search_path"), "")
    if not path:
        return Secret(url), SCHEMA
    others = [(name, value) for name, value in pairs if name != "search_path"]
    return Secret(f"{head}?{urlencode(others)}" if others else head), path.split(",")[0].strip().strip('"')
