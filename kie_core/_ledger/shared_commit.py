"""One thread with one connection to a ledger file. What waits to write there shares a commit.

A commit waits for the disk several times, the statements of a transaction hardly at all. So everything that waits
when the thread is free is written together, and each caller hears of its own transaction after the commit, not
before. One that raises is taken back alone. Nobody waits for others to come: a lone transaction is committed at once.
"""

from __future__ import annotations

import contextlib
import random
import sqlite3
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final, TypeVar

import attrs

from kie_core._ledger.transaction import Transaction

T = TypeVar("T")
#: Transactions that share a commit at the most, and questions that go before them.
TOGETHER: Final = 64
#: Seconds after which no further one joins: other processes wait for the file.
HOLD_SECONDS: Final = 0.05
#: Seconds between two tries for a file that others hold: short, so that every process finds its gap, and uneven.
#: SQLite's own pauses grow to 0.1 s; whoever sleeps so long is late each time where others write without a break.
PAUSES: Final = (0.0002, 0.002)


@attrs.define(eq=False)
class _Asked:
    """A transaction, who waits for it, and what came of it."""

    work: Callable[[float], Transaction[Any]]
    answer: Future[Any]
    value: Any = None
    error: BaseException | None = None

    def begin(self) -> bool:
        """Tell whether its caller still waits; from here on it cannot be called off."""
        return self.answer.set_running_or_notify_cancel()


class SharedCommits:
    """Carries out transactions in the order in which they were asked for.

    Those that only read go before those that wait to write: they see what is durable, and wait for no commit but the
    one that is under way.

    Args:
        connect: Opens the file, with a busy timeout of zero from then on: the patience is here.
        clock: Seconds since 1970.
        explained: Makes an error of the ledger of what SQLite says.
        patience: Seconds that a transaction waits for other processes.
    """

    def __init__(
        self,
        connect: Callable[[], sqlite3.Connection],
        *,
        clock: Callable[[], float],
        explained: Callable[[BaseException], BaseException],
        patience: float,
    ) -> None:
        self.connection: sqlite3.Connection | None = None
        self._connect, self._clock, self._explained, self._patience = connect, clock, explained, patience
        self._reading: deque[_Asked] = deque()
        self._writing: deque[_Asked] = deque()
        self._called = False  # the thread has yet to look at what waits
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="kie-ledger")

    def submit(self, work: Callable[[float], Transaction[T]], *, write: bool) -> Future[T]:
        """Have *work* carried out. Until its turn comes, it can be called off by cancelling the future."""
        asked = _Asked(work, Future())
        (self._writing if write else self._reading).append(asked)
        if not self._called:
            self._called = True
            self._thread.submit(self._serve)
        return asked.answer

    def close(self) -> Future[None]:
        """Close the file, once everything that was asked for is done."""
        closed = self._thread.submit(self._disconnect)
        self._thread.shutdown(wait=False)
        return closed

    # --- in the thread --------------------------------------------------------------------

    def _serve(self) -> None:
        """Carry out all that waits. Who comes after the first line is seen here, or calls again."""
        self._called = False
        while self._reading or self._writing:
            answered = 0
            while self._reading and answered < TOGETHER:  # however many ask, whoever writes has his turn
                answered += 1
                asked = self._reading.popleft()
                if asked.begin():
                    self._read(asked)
            if self._writing:
                self._write()

    def _read(self, asked: _Asked) -> None:
        def read() -> Any:
            connection.execute("BEGIN")
            try:
                value = _run(connection, asked.work(self._clock()))
                connection.execute("COMMIT")
            except BaseException:
                _roll_back(connection)
                raise
            return value

        try:
            connection = self._connected()
            value = self._patiently(read)
        except BaseException as error:
            asked.answer.set_exception(self._explained(error))
        else:
            asked.answer.set_result(value)

    def _write(self) -> None:
        waiting = len(self._writing)
        try:
            connection = self._connected()
            self._patiently(lambda: connection.execute("BEGIN IMMEDIATE"))
        except BaseException as error:
            for asked in [self._writing.popleft() for _ in range(waiting)]:  # whoever came meanwhile waits on
                if asked.begin():
                    asked.answer.set_exception(self._explained(error))
            return
        group: list[_Asked] = []
        try:
            self._gather(connection, group)
            end = "COMMIT" if any(asked.error is None for asked in group) else "ROLLBACK"
            self._patiently(lambda: connection.execute(end))
        except BaseException as error:
            _roll_back(connection)
            for asked in group:  # also those that raised: what they saw of the others was not to be
                asked.answer.set_exception(self._explained(error))
        else:
            for asked in group:
                if asked.error is None:
                    asked.answer.set_result(asked.value)
                else:
                    asked.answer.set_exception(self._explained(asked.error))

    def _gather(self, connection: sqlite3.Connection, group: list[_Asked]) -> None:
        """Carry out what waits, and what comes meanwhile, up to the bounds; note each in *group* before.

        Raises:
            BaseException: What one raised, where SQLite took back everything with it: on a full disk, for one.
        """
        until = time.monotonic() + HOLD_SECONDS
        while self._writing and len(group) < TOGETHER and (time.monotonic() < until or not group):
            asked = self._writing.popleft()
            if not asked.begin():
                continue
            group.append(asked)
            connection.execute("SAVEPOINT one")
            try:
                asked.value = _run(connection, asked.work(self._clock()))
            except BaseException as error:
                if not connection.in_transaction:
                    raise
                asked.error = error
                connection.execute("ROLLBACK TO one")
            connection.execute("RELEASE one")

    def _patiently(self, act: Callable[[], T]) -> T:
        """Carry out *act*, and again while another process holds the file."""
        until = time.monotonic() + self._patience
        while True:
            try:
                return act()
            except sqlite3.OperationalError as error:
                if not _is_busy(error) or time.monotonic() > until:
                    raise
            time.sleep(random.uniform(*PAUSES))

    def _connected(self) -> sqlite3.Connection:
        if self.connection is None:
            self.connection = self._connect()
        return self.connection

    def _disconnect(self) -> None:
        if self.connection is not None:
            self.connection.close()
            self.connection = None


def _is_busy(error: sqlite3.OperationalError) -> bool:
    code: int = getattr(error, "sqlite_errorcode", 0)  # what is Python's own has none
    return code & 0xFF == sqlite3.SQLITE_BUSY


def _roll_back(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:
        with contextlib.suppress(sqlite3.Error):  # what went wrong before is what is told
            connection.execute("ROLLBACK")


def _run(connection: sqlite3.Connection, transaction: Transaction[T]) -> T:
    try:
        text, values = next(transaction)
        while True:
            rows = connection.execute(text, values).fetchall()
            text, values = transaction.send(rows)
    except StopIteration as end:
        value: T = end.value
        return value
