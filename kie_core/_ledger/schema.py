"""The tables of the ledger, and how an older ledger becomes one of ours."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from kie_core._errors import LedgerError

#: Each step leads from one version of the schema to the next; never change one that was released.
MIGRATIONS: Final[tuple[tuple[str, ...], ...]] = (
    (
        """CREATE TABLE job (
            id TEXT PRIMARY KEY, revision INTEGER NOT NULL, account TEXT NOT NULL, state TEXT NOT NULL, owner TEXT,
            kept INTEGER NOT NULL, job_key TEXT, fingerprint TEXT NOT NULL, task_id TEXT,
            reserved INTEGER NOT NULL CHECK (reserved >= 0), spent INTEGER NOT NULL CHECK (spent >= 0),
            created_at REAL NOT NULL, submitted_at REAL, finished_at REAL, deadline REAL, slot REAL,
            not_before REAL NOT NULL, unsaved INTEGER NOT NULL,
            plan TEXT NOT NULL, inputs TEXT, course TEXT NOT NULL)""",
        "CREATE UNIQUE INDEX job_by_task ON job (account, task_id)",
        "CREATE UNIQUE INDEX job_by_key ON job (account, job_key)",
        "CREATE INDEX job_by_state ON job (state, account)",
        """CREATE TABLE event (
            seq INTEGER PRIMARY KEY, job_id TEXT NOT NULL, at REAL NOT NULL, owner TEXT NOT NULL, was TEXT NOT NULL,
            state TEXT NOT NULL, reserved INTEGER NOT NULL, spent INTEGER NOT NULL, note TEXT NOT NULL)""",
        "CREATE INDEX event_by_job ON event (job_id)",
        """CREATE TABLE budget (
            scope TEXT PRIMARY KEY, cap INTEGER, spent INTEGER NOT NULL CHECK (spent >= 0),
            reserved INTEGER NOT NULL CHECK (reserved >= 0))""",
        """CREATE TABLE slot (
            account TEXT PRIMARY KEY, next REAL NOT NULL, not_before REAL NOT NULL, limited INTEGER NOT NULL,
            faults INTEGER NOT NULL)""",
        """CREATE TABLE gate (
            name TEXT PRIMARY KEY, kind TEXT NOT NULL, reason TEXT NOT NULL, closed_at REAL NOT NULL, opens_at REAL,
            strikes INTEGER NOT NULL, probe TEXT, probe_until REAL)""",
        """CREATE TABLE process (
            owner TEXT PRIMARY KEY, host TEXT NOT NULL, pid INTEGER NOT NULL, seen_at REAL NOT NULL)""",
        """CREATE TABLE inbox (
            task_id TEXT NOT NULL, digest TEXT NOT NULL, account TEXT NOT NULL, job_id TEXT NOT NULL, at REAL NOT NULL,
            handled INTEGER NOT NULL, PRIMARY KEY (account, task_id, digest))""",
    ),
    (
        "ALTER TABLE budget ADD COLUMN forgiven INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE budget ADD COLUMN reset_at REAL",
        "CREATE TABLE booking (scope TEXT NOT NULL, job_id TEXT NOT NULL, PRIMARY KEY (scope, job_id))",
        # What was booked until then stands in the plans alone.
        """INSERT INTO booking (scope, job_id) SELECT budget.scope, job.id FROM budget, job
            WHERE budget.scope NOT LIKE 'account:%'
            AND replace(job.plan, '"scope":"' || budget.scope || '"', '') <> job.plan""",
    ),
    (
        """CREATE TABLE duration (
            model TEXT NOT NULL, credits TEXT NOT NULL, jobs REAL NOT NULL, total REAL NOT NULL, squares REAL NOT NULL,
            PRIMARY KEY (model, credits))""",
    ),
)


def schema_version() -> int:
    """Return the version of the schema that this kie-core writes."""
    return len(MIGRATIONS)


def migrated(version: int, place: str) -> Iterable[str]:
    """Return the statements that lead from *version* of the schema to ours.

    Raises:
        LedgerError: A newer kie-core wrote it.
    """
    if version > len(MIGRATIONS):
        raise LedgerError(
            place,
            f"it has schema {version}, this kie-core knows {len(MIGRATIONS)}",
            "pip install -U kie-core, or name another file with KIE_LEDGER",
        )
    return [statement for step in MIGRATIONS[version:] for statement in step]
