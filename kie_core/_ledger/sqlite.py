"""The ledger in a file of this machine, or in memory: how it is opened, and what is refused."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from kie_core._errors import LedgerError
from kie_core._ledger.schema import migrated, schema_version
from kie_core._ledger.shared_commit import SharedCommits
from kie_core._ledger.transaction import Transaction

T = TypeVar("T")
MEMORY: Final = "memory:"
#: STRICT tables.
_OLDEST: Final = (3, 37)
#: Seconds that a transaction waits for others.
BUSY_SECONDS: Final = 30.0
#: Bytes that are kept so that an answer can still be written down when the disk is full.
BALLAST: Final = 512 * 1024
#: Larger files are not looked through at every start.
_CHECKED: Final = 64 * 1024 * 1024

#: Connections of a parent process: to close one here could roll back what the parent is writing.
_LEFT_ALONE: Final[list[SharedCommits]] = []

log = logging.getLogger("kie_core")


class SqliteDatabase:
    """A ledger file.

    Not in write-ahead mode: SQLite before 3.51.3 can corrupt such a file when two processes write.
    Not for network folders, whose locks cannot be trusted.

    Args:
        place: A path, or ``memory:``.
        clock: Seconds since 1970; for tests.
    """

    def __init__(self, place: str, *, clock: Callable[[], float] = time.time) -> None:
        self.place = place
        self._path = None if place == MEMORY else Path(place)
        self._clock = clock
        self._commits: SharedCommits | None = None
        self._owner = ""
        self._pid = 0

    async def run(self, work: Callable[[float], Transaction[T]], *, write: bool = True) -> T:
        """Do what `Database.run` says. A caller who is cancelled before its turn has asked for nothing."""
        return await asyncio.wrap_future(self._shared().submit(work, write=write))

    def owner(self) -> str:
        """Return the name of this process, new at every start and after a fork."""
        self._shared()
        return self._owner

    async def make_room(self) -> bool:
        """Free the space that is kept for a full disk."""
        ballast = self._ballast()
        if ballast is None or not ballast.exists():
            return False
        ballast.unlink(missing_ok=True)
        return True

    async def close(self) -> None:
        """Close the file; the next `run` opens it again."""
        commits, self._commits = self._commits, None
        if commits is not None and self._pid == os.getpid():
            await asyncio.shield(asyncio.wrap_future(commits.close()))

    def _shared(self) -> SharedCommits:
        if self._commits is None or self._pid != os.getpid():
            # After a fork neither thread nor connection is ours, nor is what waits: left alone, and made anew.
            if self._commits is not None:
                if self._path is None:
                    problem = "a ledger in memory does not survive a fork"
                    raise LedgerError(self.place, problem, "open a client in the child")
                _LEFT_ALONE.append(self._commits)
            self._pid = os.getpid()
            self._owner = secrets.token_hex(8)
            self._commits = SharedCommits(
                self._connect, clock=self._clock, explained=self._explained, patience=BUSY_SECONDS
            )
        return self._commits

    # --- in the thread --------------------------------------------------------------------

    def _connect(self) -> sqlite3.Connection:
        if sqlite3.sqlite_version_info < _OLDEST:
            raise LedgerError(
                self.place,
                f"SQLite {sqlite3.sqlite_version} is too old",
                "use a Python with SQLite 3.37 or newer, or a Postgres ledger",
            )
        if self._path is not None:
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                if not self._path.exists():  # what lies beside was that of another
                    self._path.with_name(self._path.name + ".ballast").unlink(missing_ok=True)
                # Only to make it: closing a file lets go of every lock that this process holds on it.
                os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
            except FileExistsError:
                pass
            except OSError as error:
                raise LedgerError(
                    self.place, f"it cannot be written: {error.strerror}", "name another file with KIE_LEDGER"
                ) from error
        connection = sqlite3.connect(
            ":memory:" if self._path is None else self._path,
            timeout=BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            connection.row_factory = sqlite3.Row
            # In memory, too, what leads back to a savepoint: no second file that a full disk could refuse.
            for pragma in (
                "journal_mode = TRUNCATE", "synchronous = FULL", "foreign_keys = ON", "secure_delete = ON",
                "mmap_size = 0", "trusted_schema = OFF", "temp_store = MEMORY",
            ):  # fmt: skip
                connection.execute(f"PRAGMA {pragma}").fetchall()
            self._check(connection)
            if connection.execute("PRAGMA user_version").fetchone()[0] != schema_version():
                self._migrate(connection)
            connection.execute("PRAGMA busy_timeout = 0").fetchall()
        except BaseException:
            connection.close()
            raise
        self._lay_ballast()
        return connection

    def _check(self, connection: sqlite3.Connection) -> None:
        if self._path is None or self._path.stat().st_size > _CHECKED:
            return
        found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise sqlite3.DatabaseError(found)

    def _migrate(self, connection: sqlite3.Connection) -> None:
        connection.execute("BEGIN IMMEDIATE")
        version = connection.execute("PRAGMA user_version").fetchone()[0]  # another process may have been quicker
        self._refuse_foreign(connection, version)
        statements = list(migrated(version, self.place))
        for statement in statements:
            connection.execute(f"{statement} STRICT" if statement.startswith("CREATE TABLE") else statement)
        if statements:
            connection.execute(f"PRAGMA user_version = {schema_version()}")
        connection.execute("COMMIT")

    def _refuse_foreign(self, connection: sqlite3.Connection, version: int) -> None:
        """Refuse what holds something else, and what was emptied: what that ledger knew would be bought again.

        The ballast of a ledger is laid after its tables are there. So whoever holds the lock, sees no tables and
        sees a ballast, sees what is left of a ledger, and none that another process is making.
        """
        tables = {row["name"] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        older = 0 < version < schema_version()
        if (tables and version == 0) or version < 0 or (older and not {"job", "event", "process"} <= tables):
            raise LedgerError(self.place, "it is a database of something else", "name another file with KIE_LEDGER")
        ballast = self._ballast()
        if not tables and ballast is not None and ballast.exists():
            raise LedgerError(
                self.place,
                f"it is empty, though {ballast.name} says that it was a ledger",
                "put a copy of it back; or remove both, and look at https://kie.ai/logs for jobs that go on",
                "corrupt",
            )

    def _ballast(self) -> Path | None:
        return None if self._path is None else self._path.with_name(self._path.name + ".ballast")

    def _lay_ballast(self) -> None:
        ballast = self._ballast()
        if ballast is None or ballast.exists():
            return
        try:
            with ballast.open("xb") as file:
                file.write(os.urandom(BALLAST))  # no file system packs it to nothing
        except FileExistsError:
            return  # another process was quicker
        except OSError as error:
            ballast.unlink(missing_ok=True)
            log.warning("no space can be kept beside the ledger %s: %s", self.place, error)

    def _explained(self, error: BaseException) -> BaseException:
        if not isinstance(error, (sqlite3.Error, OverflowError, UnicodeEncodeError)):
            return error
        told = self._told(error)
        told.__cause__ = error
        return told

    def _told(self, error: Exception) -> LedgerError:
        text = " ".join(str(error).split())  # what a check finds stands on several lines
        if isinstance(error, (OverflowError, UnicodeEncodeError, sqlite3.IntegrityError)):
            problem = f"it takes no such value: {text if isinstance(error, sqlite3.Error) else type(error).__name__}"
            return LedgerError(self.place, problem, "nothing was written; use another value")
        if "locked" in text or "busy" in text:
            return LedgerError(self.place, f"other processes hold it ({text})", "try again", "busy")
        if "full" in text or "disk I/O" in text:
            return LedgerError(self.place, f"it cannot be written: {text}", "make room on the disk", "full")
        if "readonly" in text or "unable to open" in text:
            return LedgerError(self.place, f"it cannot be written: {text}", "name another file with KIE_LEDGER")
        return LedgerError(
            self.place,
            f"it is damaged or no ledger: {text}",
            f"move {self.place} away and look at https://kie.ai/logs for jobs that go on",
            "corrupt",
        )
