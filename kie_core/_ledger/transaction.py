"""What a transaction of the ledger is, and what carries it out.

It is written once, as a generator that yields statements and is sent rows. A database (`sqlite`, `postgres`)
carries it out as a whole, or not at all.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar

if TYPE_CHECKING:
    from kie_core._ledger.entry import Entry

T = TypeVar("T")
#: SQL with ``:name`` places, and their values.
Statement: TypeAlias = tuple[str, Mapping[str, Any]]
Rows: TypeAlias = Sequence[Mapping[str, Any]]
Transaction: TypeAlias = Generator[Statement, Rows, T]

log = logging.getLogger("kie_core")


class Said:
    """What is to be told once a transaction is durable, and not before: a task id is written down first.

    Attributes:
        written: The jobs that the transaction wrote, as they stand after it.
    """

    def __init__(self) -> None:
        self._lines: list[tuple[int, str]] = []
        self.written: list[Entry] = []

    def begin(self) -> None:
        """Forget what an earlier try of the same transaction said."""
        self._lines.clear()
        self.written.clear()

    def say(self, level: int, line: str) -> None:
        self._lines.append((level, line))

    def aloud(self) -> None:
        """Log it."""
        for level, line in self._lines:
            log.log(level, "%s", line)


class Database(Protocol):
    """Carries out transactions."""

    #: Where it is, for messages; without password.
    place: str

    async def run(self, work: Callable[[float], Transaction[T]], *, write: bool = True) -> T:
        """Carry out *work*, which is given the time, as one transaction that is durable when this returns.

        Args:
            work: The transaction.
            write: False: it only reads. It sees what is durable, and may go before what others wait to write.

        Raises:
            LedgerError: It was rolled back, or the connection broke and nobody knows.
        """

    def owner(self) -> str:
        """Return the name of this process, new at every start."""

    async def make_room(self) -> bool:
        """Free the space that is kept for a full disk. Tell whether there was any."""

    async def close(self) -> None: ...


def printable(text: str) -> str:
    """Some databases refuse NUL and half surrogates, and Kie's words may hold both."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")[:1000]
