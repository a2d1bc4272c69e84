"""How a job of the ledger is shown: as a line, as JSON, with its times and its money."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from kie_core._cli.output import say
from kie_core._errors import LedgerError, NoKey, UnknownJob

if TYPE_CHECKING:
    from kie_core._blocking import BlockingTask, KieBlocking
    from kie_core._ledger.entry import Entry


def moment(seconds: float | None) -> datetime | None:
    """Return a time of the ledger's, for ``--json``."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def clock(seconds: float) -> str:
    """Return a time of the ledger's in words, in UTC."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"


def age(seconds: float) -> str:
    """Return ``5 s``, ``3 min``, ``2 h`` or ``4 d``."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def rub(kopecks: int | None) -> float | None:
    """Return kopecks as roubles, for ``--json``."""
    return None if kopecks is None else kopecks / 100


def money(entry: Entry) -> str:
    """Say what the job cost, or what is set aside for it."""
    if entry.ended:
        return f"{entry.spent / 100:.2f} spent"
    if entry.reserved:
        return f"{entry.reserved / 100:.2f} reserved"
    return "unknown" if entry.plan.price is None else f"{entry.plan.price / 100:.2f}"


def expiry(entry: Entry) -> float | None:
    """Return when the first result that is not saved may be gone; None: nothing is unsaved, or it stays."""
    if not entry.unsaved or entry.outcome is None:
        return None
    saved = {file.number for file in entry.saved}
    times = [
        artifact.expires_at.timestamp()
        for number, artifact in enumerate(entry.outcome.artifacts, 1)
        if number not in saved and artifact.expires_at is not None
    ]
    return min(times, default=None)


def row(entry: Entry) -> tuple[str, ...]:
    """Return the cells of `COLUMNS`."""
    told = entry.task_id if entry.state in ("running", "succeeded") else entry.reason or entry.task_id
    remark = f"{told or ''}{' (not saved)' if entry.unsaved else ''}"
    return (entry.id, entry.state, entry.plan.model, money(entry), age(time.time() - entry.created_at), remark)


COLUMNS = ("job", "state", "model", "RUB", "age", "task or reason")


def summary(entry: Entry) -> dict[str, Any]:
    """Return a job for ``--json``."""
    return {
        "job": entry.id,
        "handle": entry.handle(),
        "state": entry.state,
        "model": entry.plan.model,
        "wire": entry.plan.wire,
        "task_id": entry.task_id,
        "job_key": entry.job_key,
        "price_rub": rub(entry.plan.price),
        "reserved_rub": rub(entry.reserved),
        "spent_rub": rub(entry.spent),
        "reason": entry.reason or None,
        "created_at": moment(entry.created_at),
        "submitted_at": moment(entry.submitted_at),
        "finished_at": moment(entry.finished_at),
        "unsaved": entry.unsaved,
        "expires_at": moment(expiry(entry)),
    }


def found(kie: KieBlocking, text: str) -> tuple[BlockingTask, Entry | None]:
    """Return the task of a handle or a job id, and what the ledger knows of it.

    Raises:
        UnknownJob: The text is no handle, and the ledger does not know it.
        BadHandle: It begins as a handle does, and is none.
    """
    text = text.strip()
    try:
        entry = kie.entry(text)
    except (UnknownJob, LedgerError):
        if not text.startswith("kie1:"):
            raise
        return kie.attach(text), None  # what is paid is read without a ledger too
    if entry.task_id is None and text.startswith("kie1:"):
        return kie.attach(text), entry  # the handle may name a task that the ledger only supposes
    return kie.task(entry.id), entry


def account(kie: KieBlocking) -> str:
    """Return the account whose jobs are read.

    Raises:
        NoKey: Without a key nobody can say whose they are.
    """
    from kie_core._running.plan import account_of

    if kie.settings.api_key is None:
        raise NoKey
    return account_of(kie.settings)


def say_what_is_left(entries: Iterable[Entry]) -> None:
    """Say of each job that is not done what to do next, on stderr."""
    for entry in entries:
        name = f"job {entry.id} ({entry.plan.model})"
        if entry.state == "unknown":
            say(f"{name}: unknown whether it was bought: {entry.reason}; look at https://kie.ai/logs, then:")
            say(f"  kie jobs resolve {entry.id} --adopt TASK | --not-submitted | --abandon")
        elif entry.state == "running":
            say(f"{name}: runs at Kie as task {entry.task_id}; later: kie resume")
        elif entry.state in ("leased", "submitting"):
            say(f"{name}: another process is sending it")
        elif entry.state == "queued":
            say(f"{name}: waits to be sent; this command buys nothing")
        elif entry.state != "succeeded":
            say(f"{name}: {entry.state}: {entry.reason or 'no reason given'}")
        elif entry.unsaved:
            say(f"{name}: its result is not saved: kie save {entry.id}")
