"""Which database the ledger setting means, and where its spill files lie."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path

from kie_core._config import default_ledger
from kie_core._ledger.transaction import Database


def open_database(setting: str | None, *, clock: Callable[[], float] = time.time) -> tuple[Database, Path | None]:
    """Return the database of a ledger, and the path beside which its spill files lie; None: it has none.

    Nothing is opened yet: the first transaction does that.

    Args:
        setting: A path, ``memory:`` or ``postgresql://...``; None: the user's own file.
        clock: Seconds since 1970, for a ledger on this machine.

    Raises:
        LedgerError: The setting needs a package that is not installed.
    """
    default = default_ledger(os.environ)
    if setting is not None and "://" in setting:
        from kie_core._ledger.postgres import PostgresDatabase

        database = PostgresDatabase(setting)
        # Not of the user and the password: what was spilt is found after these have changed.
        name = hashlib.sha256(f"{database.place} {database.schema}".encode()).hexdigest()[:16]
        return database, default.with_name(f"postgres-{name}")
    from kie_core._ledger.sqlite import MEMORY, SqliteDatabase

    if setting == MEMORY:
        return SqliteDatabase(MEMORY, clock=clock), None
    path = Path(setting) if setting is not None else default
    return SqliteDatabase(str(path), clock=clock), path
