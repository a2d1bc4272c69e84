"""The ledger: every job, its price and its task, durable before money can be spent."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias, TypeVar

import attrs

from kie_core._budget import Balance
from kie_core._errors import JobKeyTaken, LedgerError, WrongState
from kie_core._ledger.booking import affordable, balance_of, book, open_scopes, reserve
from kie_core._ledger.durations import Durations, Key, known, learn
from kie_core._ledger.entry import (
    ACTIVE,
    KEPT_SECONDS,
    Entry,
    JobState,
    accepted,
    leased,
    orphaned,
    replanned,
    requeued,
    submitting,
    waiting,
)
from kie_core._ledger.gates import (
    LONGEST_QUEUE,
    LOOK_SECONDS,
    SLOT_SECONDS,
    Gate,
    Signal,
    closed_gate,
    gate_of,
    heed,
    held_until,
    look_again_at,
    reason_of,
    turn_of,
)
from kie_core._ledger.process import alive, here
from kie_core._ledger.rows import (
    BOUGHT,
    INSERT,
    NEW_INPUTS,
    UPDATE,
    BrokenRow,
    bought_of,
    changing_of,
    columns_of,
    entry_of,
)
from kie_core._ledger.stats import Bought
from kie_core._ledger.transaction import Database, Rows, Said, Transaction, printable

log = logging.getLogger("kie_core")

T = TypeVar("T")
#: A step of a job: from an entry and the ledger's time to the next entry.
Move: TypeAlias = Callable[[Entry, float], Entry]

#: Callbacks that were dealt with are kept so long, to recognise a repetition.
INBOX_SECONDS: Final = 30 * 86400.0
#: So long a callback waits for its task to be readable: as long as Kie keeps what it made.
WAITING_SECONDS: Final = KEPT_SECONDS
#: Rows that are read at once where a ledger may hold very many.
PAGE: Final = 5000


@attrs.frozen
class Event:
    """One change of one job: what was booked, when, by whom."""

    job_id: str
    at: float
    owner: str
    was: str
    state: str
    reserved: int
    spent: int
    note: str


@attrs.frozen
class Callback:
    """A callback that waits to be looked into."""

    task_id: str
    digest: str
    job_id: str


class Superseded(Exception):
    """Somebody else changed the job first. Never leaves this package."""


class TaskTaken(Exception):
    """Another job has this task. Never leaves this package."""

    def __init__(self, job_id: str) -> None:
        super().__init__(job_id)
        self.job_id = job_id


@attrs.frozen
class Ledger:
    """All jobs of a user, a bot or a fleet.

    Attributes:
        database: Where they are.
        lease: Seconds after which a process that gives no sign is taken for dead.
        heard: Is told of every job that this process wrote, once it is durable.
    """

    database: Database
    lease: float = 60.0
    heard: Callable[[Entry], None] = lambda _: None

    @property
    def owner(self) -> str:
        return self.database.owner()

    async def _carried_out(self, work: Callable[[float, Said], Transaction[T]]) -> T:
        said = Said()

        def begun(now: float) -> Transaction[T]:
            said.begin()
            return work(now, said)

        value = await self._run(begun)
        said.aloud()
        for entry in said.written:
            self.heard(entry)
        return value

    async def _run(self, work: Callable[[float], Transaction[T]], *, write: bool = True) -> T:
        try:
            return await self.database.run(work, write=write)
        except BrokenRow as error:
            remedy = "look at https://kie.ai/logs for its result; all other jobs can be used"
            raise LedgerError(self.database.place, str(error), remedy, "row") from error

    async def _one(self, where: str, **values: Any) -> Entry | None:
        entries = await self._run(lambda _: _select(where, values, strict=True), write=False)
        return entries[0] if entries else None

    # --- jobs -----------------------------------------------------------------------------

    async def add(self, entry: Entry) -> Entry:
        """Add a job, or return the one that has its id or its key already: queued again if nothing was bought.

        Raises:
            JobKeyTaken: The key belongs to another request.
            WrongState: The job belongs to another account.
        """

        def work(now: float, said: Said) -> Transaction[Entry]:
            owner = None if entry.kept else self.owner  # one that nobody keeps ends with its process
            fresh = attrs.evolve(entry, created_at=now, revision=1, owner=owner)
            made = yield INSERT, columns_of(fresh)
            if made:
                yield from _event(fresh, fresh.state, "", self.owner, now)
                yield from open_scopes(fresh)
                said.written.append(fresh)
                return fresh
            rows = yield (
                (
                    "SELECT * FROM job WHERE id = :id OR (account = :account AND job_key = :job_key)"
                    " ORDER BY CASE WHEN id = :id THEN 0 ELSE 1 END"
                ),
                {"id": entry.id, "account": entry.account, "job_key": entry.job_key},
            )
            if not rows:
                raise LedgerError(self.database.place, f"job {entry.id} is in it already", "make another job")
            known = entry_of(rows[0])
            if known.account != entry.account:
                raise WrongState(known.id, known.state, "it was made for another account; make another with kie.job()")
            if known.fingerprint != entry.fingerprint or known.job_key != entry.job_key:
                raise JobKeyTaken(str(entry.job_key), known.id, known.plan.model)
            return (yield from _asked_again(said, known, entry, self.owner, now))

        return await self._carried_out(work)

    async def get(self, job_id: str) -> Entry | None:
        """Return a job by its id."""
        return await self._one("id = :id", id=job_id)

    async def running(self, account: str, job_ids: Sequence[str]) -> list[Entry]:
        """Return those of some jobs that run, and of which no callback waits, in any order."""
        values = {f"id{number}": job_id for number, job_id in enumerate(job_ids)}
        names = ", ".join(f":{name}" for name in values)
        called = "SELECT job_id FROM inbox WHERE account = :account AND handled = 0"
        where = f"account = :account AND state = 'running' AND id IN ({names}) AND id NOT IN ({called})"
        return await self.database.run(lambda _: _select(where, {**values, "account": account}), write=False)

    async def by_key(self, account: str, job_key: str) -> Entry | None:
        """Return a job by its caller's name."""
        return await self._one("account = :account AND job_key = :job_key", account=account, job_key=job_key)

    async def by_task(self, account: str, task_id: str) -> Entry | None:
        """Return a job by Kie's task id."""
        return await self._one("account = :account AND task_id = :task_id", account=account, task_id=task_id)

    async def find(
        self,
        *states: JobState,
        account: str | None = None,
        unsaved: bool = False,
        kept: bool = False,
        limit: int | None = None,
    ) -> list[Entry]:
        """Return jobs, the newest first; without *states*: in any."""
        clauses, values = ["1 = 1"], dict[str, Any]()
        if states:
            clauses.append(f"state IN ({', '.join(f':s{i}' for i in range(len(states)))})")
            values |= {f"s{i}": state for i, state in enumerate(states)}
        if account is not None:
            clauses.append("account = :account")
            values["account"] = account
        clauses += ["unsaved = 1"] if unsaved else []
        clauses += ["kept = 1"] if kept else []
        where = " AND ".join(clauses) + " ORDER BY created_at DESC, id" + (f" LIMIT {int(limit)}" if limit else "")
        return await self.database.run(lambda _: _select(where, values), write=False)

    async def counts(self) -> dict[JobState, int]:
        """Return how many jobs are in each state."""

        def work(_: float) -> Transaction[dict[JobState, int]]:
            rows = yield "SELECT state, count(*) AS jobs FROM job GROUP BY state ORDER BY state", {}
            return {row["state"]: row["jobs"] for row in rows}

        return await self.database.run(work, write=False)

    async def bought(self, *, account: str | None = None, seconds: float | None = None) -> list[Bought]:
        """Return what usage figures are made of: every job that Kie took, or may have taken.

        Args:
            account: Whose; None: of all accounts.
            seconds: Only those that were sent within so many seconds; None: all.
        """
        clauses, values = [BOUGHT, "id > :after"], dict[str, Any]()
        if account is not None:
            clauses.append("account = :account")
            values["account"] = account
        if seconds is not None:
            clauses.append("submitted_at >= :since")
        text = f"{' AND '.join(clauses)} ORDER BY id LIMIT {PAGE}"

        def work(now: float) -> Transaction[list[Bought]]:
            found: list[Bought] = []
            since = {} if seconds is None else {"since": now - seconds}
            after = ""
            while True:
                rows = yield text, {**values, **since, "after": after}
                found += _figures(rows)
                if len(rows) < PAGE:
                    return found
                after = rows[-1]["id"]

        return await self.database.run(work, write=False)

    async def change(
        self, old: Entry, move: Move, *, note: str = "", signal: Signal | None = None, pause: float | None = None
    ) -> Entry:
        """Write one step of a job, with what it means for budgets and for the account.

        Args:
            old: The job, as last seen.
            move: The step; is given the job and the ledger's time.
            note: Why, for the job's history.
            signal: What an answer to a create said about the account.
            pause: Seconds for which Kie wants no further create; None: it did not say.

        Raises:
            Superseded: Somebody else changed the job first; nothing was written.
            WrongStep: The job is not in a state from which this step leads; nothing was written.
        """

        def work(now: float, said: Said) -> Transaction[Entry]:
            if signal is not None:
                yield from turn_of(old.account)  # everybody locks it before jobs and budgets
            new = move(old, now)
            written = old if new == old else (yield from _change(said, old, new, note, self.owner, now))
            if signal is not None:
                yield from heed(said, new.account, new.id, signal, note or new.reason, now, pause=pause)
            return written

        return await self._carried_out(work)

    async def adopt(self, entry: Entry, task_id: str, note: str, *, answered: bool, record: str | None = None) -> Entry:
        """Write that a job is a task of Kie's, in one transaction with the question whether another job has it.

        Raises:
            TaskTaken: Another job has it; nothing was written.
            Superseded, WrongStep: As for `change`.
        """

        def work(now: float, said: Said) -> Transaction[Entry]:
            yield from turn_of(entry.account)
            rows = yield (
                "SELECT id FROM job WHERE account = :account AND task_id = :task_id",
                {"account": entry.account, "task_id": task_id},
            )
            if rows and rows[0]["id"] != entry.id:
                raise TaskTaken(rows[0]["id"])
            new = accepted(entry, task_id, now, record)
            written = entry if new == entry else (yield from _change(said, entry, new, note, self.owner, now))
            if answered:  # only the answer itself tells how Kie treats the account today
                yield from heed(said, entry.account, entry.id, "answered", note, now, pause=None)
            return written

        return await self._carried_out(work)

    async def forget(self, job_id: str) -> bool:
        """Remove what the caller typed. Tell whether the job is there."""

        def work(now: float) -> Transaction[bool]:
            rows = yield "UPDATE job SET inputs = NULL WHERE id = :id RETURNING *", {"id": job_id}
            if rows:
                yield from _event(
                    entry_of(rows[0]), entry_of(rows[0]).state, "its inputs were forgotten", self.owner, now
                )
            return bool(rows)

        return await self.database.run(work)

    async def note(self, entry: Entry, text: str) -> None:
        """Add a line to a job's history that changes nothing."""
        await self.database.run(lambda now: _event(entry, entry.state, text, self.owner, now))

    async def time(self) -> float:
        """Return seconds since 1970, by the ledger's clock."""

        def work(now: float) -> Transaction[float]:
            yield "SELECT 1", {}
            return now

        return await self.database.run(work, write=False)

    async def durations(self) -> dict[Key, Durations]:
        """Return how long jobs took, of all accounts, by model and price."""
        return await self.database.run(lambda _: known(), write=False)

    async def events(self, job_id: str) -> list[Event]:
        """Return every change of a job, the first first."""

        def work(_: float) -> Transaction[list[Event]]:
            rows = yield "SELECT * FROM event WHERE job_id = :id ORDER BY seq", {"id": job_id}
            names = [field.name for field in attrs.fields(Event)]
            return [Event(**{name: row[name] for name in names}) for row in rows]

        return await self.database.run(work, write=False)

    # --- buying ---------------------------------------------------------------------------

    async def claim(self, entry: Entry, *, interval: float, most: int) -> Entry:
        """Take a queued job and its place in the queue of creates.

        Args:
            entry: The job, as last seen.
            interval: Seconds between two creates of the account.
            most: How many jobs of the account may run at once.

        Returns:
            The leased job with its ``slot``; or still queued, with the ``reason`` and perhaps
            ``not_before``, and nothing was written.

        Raises:
            OverBudget: A scope has not enough left at the moment; nothing was written.
            Superseded: Somebody else changed the job first.
        """

        def work(now: float, said: Said) -> Transaction[Entry]:
            slot = yield from turn_of(entry.account)
            states = ", ".join(f"'{state}'" for state in ACTIVE)
            rows = yield (
                (
                    f"SELECT count(*) AS active FROM job WHERE account = :account AND state IN ({states})"  # noqa: S608
                    " AND (deadline IS NULL OR deadline > :now)"
                ),
                {"account": entry.account, "now": now},
            )
            if rows[0]["active"] >= most:
                return attrs.evolve(entry, reason=f"{most} jobs of this account are running", not_before=now + 1.0)
            yield from affordable(entry)  # first: a cost beyond the limit has closed a gate, too
            closed = yield from closed_gate(entry, now)
            if closed is not None:
                return attrs.evolve(entry, reason=reason_of(closed), not_before=look_again_at(closed, now))
            place = max(slot["next"], held_until(slot, now), now)
            if place - now > LONGEST_QUEUE:
                rows = yield (
                    "SELECT count(*) AS ahead FROM job WHERE account = :account AND state = 'leased' AND slot > :now",
                    {"account": entry.account, "now": now},
                )
                if rows[0]["ahead"]:
                    return attrs.evolve(entry, reason="the queue of creates is full", not_before=now + 5.0)
                place = max(held_until(slot, now), now + interval)
            yield (
                "UPDATE slot SET next = :next WHERE account = :account",
                {"next": place + interval, "account": entry.account},
            )
            return (yield from _change(said, entry, leased(entry, self.owner, place), "", self.owner, now))

        return await self._carried_out(work)

    async def intend(self, entry: Entry) -> Entry:
        """Reserve the price of a leased job: when this returns, its create may be sent, once, and at once.

        Returns:
            The job in state ``submitting``; or queued again, because its place in the queue is gone or a
            gate has closed.

        Raises:
            OverBudget: A scope has not enough left; nothing was written.
            Superseded: The job is not this process's any more.
        """

        def work(now: float, said: Said) -> Transaction[Entry]:
            slot = yield from turn_of(entry.account)
            closed = yield from closed_gate(entry, now)
            if closed is not None:
                back = waiting(entry, reason_of(closed), min(look_again_at(closed, now), now + LOOK_SECONDS))
                return (yield from _change(said, entry, back, "", self.owner, now))
            late = entry.slot is None or now - entry.slot > SLOT_SECONDS
            if late or held_until(slot, now) > now:
                return (
                    yield from _change(said, entry, waiting(entry, "another place in the queue"), "", self.owner, now)
                )
            intent = submitting(entry, now)
            yield from reserve(intent)
            return (yield from _change(said, entry, intent, "", self.owner, now, booked=True))

        return await self._carried_out(work)

    # --- processes ------------------------------------------------------------------------

    async def beat(self) -> list[Entry]:
        """Give a sign of life, and take over what dead processes held. Returns the jobs that were taken over."""

        def work(now: float, said: Said) -> Transaction[list[Entry]]:
            host, pid = here()
            yield (
                (
                    "INSERT INTO process (owner, host, pid, seen_at) VALUES (:owner, :host, :pid, :now)"
                    " ON CONFLICT (owner) DO UPDATE SET seen_at = excluded.seen_at"
                ),
                {"owner": self.owner, "host": host, "pid": pid, "now": now},
            )
            rows = yield "SELECT * FROM process", {}
            living = {row["owner"] for row in rows if self._lives(row, now)}
            where = "state IN ('leased', 'submitting') OR (state = 'queued' AND kept = 0) ORDER BY id"
            held = yield from _select(where, {})
            taken = yield from _take_over(said, [entry for entry in held if entry.owner not in living], self.owner, now)
            for row in rows:
                if row["owner"] not in living:
                    yield "DELETE FROM process WHERE owner = :owner", {"owner": row["owner"]}
            return taken

        return await self._carried_out(work)

    def _lives(self, row: Mapping[str, Any], now: float) -> bool:
        if row["owner"] == self.owner:
            return True
        if alive(row["host"], row["pid"]) is False:
            return False
        return bool(abs(now - row["seen_at"]) <= self.lease)  # a sign from the future: the clock went back

    async def living(self) -> set[str]:
        """Return the processes that are alive, as far as anybody knows."""

        def work(now: float) -> Transaction[set[str]]:
            rows = yield "SELECT * FROM process", {}
            return {row["owner"] for row in rows if self._lives(row, now)}

        return await self.database.run(work, write=False)

    async def leave(self) -> None:
        """Say good-bye: what this process still holds unsent goes back."""

        def work(now: float, said: Said) -> Transaction[None]:
            where = "state IN ('queued', 'leased', 'submitting') AND owner = :owner ORDER BY id"
            yield from _take_over(said, (yield from _select(where, {"owner": self.owner})), self.owner, now)
            yield "DELETE FROM process WHERE owner = :owner", {"owner": self.owner}

        await self._carried_out(work)

    # --- gates and budgets ----------------------------------------------------------------

    async def gates(self) -> list[Gate]:
        """Return what is closed."""

        def work(_: float) -> Transaction[list[Gate]]:
            rows = yield "SELECT * FROM gate ORDER BY name", {}
            return [gate_of(row) for row in rows]

        return await self.database.run(work, write=False)

    async def open_gate(self, name: str) -> bool:
        """Open a gate. Tell whether it was closed."""

        def work(now: float) -> Transaction[bool]:
            yield (
                (
                    "UPDATE slot SET faults = 0, limited = 0, not_before = 0,"
                    # a pause ends, not the queue: whoever has a place in it keeps it
                    " next = CASE WHEN not_before > :now THEN (SELECT coalesce(max(job.slot), :now) FROM job WHERE"
                    " job.account = :name AND job.state = 'leased' AND job.slot > :now) ELSE next END"
                    " WHERE account = :name"
                ),
                {"name": name, "now": now},
            )
            rows = yield "DELETE FROM gate WHERE name = :name RETURNING name", {"name": name}
            return bool(rows)

        return await self.database.run(work)

    async def balances(self) -> list[Balance]:
        """Return what is booked on each scope."""

        def work(_: float) -> Transaction[list[Balance]]:
            rows = yield "SELECT * FROM budget ORDER BY scope", {}
            return [balance_of(row) for row in rows]

        return await self.database.run(work, write=False)

    async def reset(self, scope: str) -> Balance | None:
        """Begin to count a scope's spending anew, and open the gate that it closed; None: there is no such scope.

        What is reserved stays reserved, and what was spent stays in the jobs.
        """

        def work(now: float) -> Transaction[Balance | None]:
            rows = yield (
                "UPDATE budget SET forgiven = spent, reset_at = :now WHERE scope = :scope RETURNING *",
                {"scope": scope, "now": now},
            )
            if rows:
                yield "DELETE FROM gate WHERE name = :name", {"name": f"budget:{scope}"}
            return balance_of(rows[0]) if rows else None

        return await self.database.run(work)

    async def booked(self, scope: str) -> list[Entry]:
        """Return the jobs that count on a scope since its last reset, the newest first."""
        account = scope.removeprefix("account:") if scope.startswith("account:") else None
        counts = (
            "(account = :account OR id IN (SELECT job_id FROM booking WHERE scope = :scope))"
            " AND (finished_at IS NULL"
            " OR finished_at > coalesce((SELECT reset_at FROM budget WHERE scope = :scope), 0))"
            " ORDER BY created_at DESC, id"
        )
        values = {"scope": scope, "account": account}
        return await self.database.run(lambda _: _select(counts, values), write=False)

    # --- callbacks ------------------------------------------------------------------------

    async def receive(
        self, account: str, job_id: str | None, task_id: str, digest: str
    ) -> Literal["stored", "duplicate", "unknown"]:
        """Note a callback. *job_id* is given where the address proved it; else the task must be known."""

        def work(now: float) -> Transaction[Literal["stored", "duplicate", "unknown"]]:
            where = "task_id = :task_id" if job_id is None else "id = :job_id"
            rows = yield from _select(
                f"account = :account AND {where}",
                {"account": account, **({"task_id": task_id} if job_id is None else {"job_id": job_id})},
            )
            if not rows:
                return "unknown"
            made = yield (
                (
                    "INSERT INTO inbox (task_id, digest, account, job_id, at, handled)"
                    " VALUES (:task_id, :digest, :account, :job_id, :now, 0) ON CONFLICT DO NOTHING RETURNING job_id"
                ),
                {"task_id": task_id, "digest": digest, "account": account, "job_id": rows[0].id, "now": now},
            )
            return "stored" if made else "duplicate"

        return await self.database.run(work)

    async def callbacks(self, account: str, job_id: str | None = None) -> list[Callback]:
        """Return the callbacks that wait, the oldest first; of one job, or of all."""

        def work(now: float) -> Transaction[list[Callback]]:
            one = "" if job_id is None else " AND job_id = :job_id"
            rows = yield (
                (
                    "SELECT task_id, digest, job_id FROM inbox WHERE handled = 0 AND at > :old"  # noqa: S608
                    f" AND account = :account{one} ORDER BY at"
                ),
                {"account": account, "old": now - WAITING_SECONDS, **({} if job_id is None else {"job_id": job_id})},
            )
            return [Callback(row["task_id"], row["digest"], row["job_id"]) for row in rows]

        return await self.database.run(work, write=False)

    async def handled(self, account: str, callback: Callback, note: str = "") -> None:
        """Note that a callback was dealt with."""

        def work(now: float) -> Transaction[None]:
            yield (
                "UPDATE inbox SET handled = 1 WHERE account = :account AND task_id = :task_id AND digest = :digest",
                {"account": account, "task_id": callback.task_id, "digest": callback.digest},
            )
            yield "DELETE FROM inbox WHERE handled = 1 AND at < :old", {"old": now - INBOX_SECONDS}
            if note:
                rows = yield from _select("id = :id", {"id": callback.job_id})
                for entry in rows:
                    yield from _event(entry, entry.state, note, self.owner, now)

        await self.database.run(work)

    async def close(self) -> None:
        await self.database.close()


# --- rows ----------------------------------------------------------------------------------


def _figures(rows: Rows) -> Iterator[Bought]:
    for row in rows:
        try:
            yield bought_of(row)
        except BrokenRow as error:
            log.error("%s; it is left out", error)  # noqa: TRY400  (its cause may hold a prompt)


def _select(where: str, values: Mapping[str, Any], *, strict: bool = False) -> Transaction[list[Entry]]:
    """Read jobs; a row that cannot be read is told and left out, unless *strict*: the others are not lost with it."""
    rows = yield f"SELECT * FROM job WHERE {where}", values  # noqa: S608  (our own texts)
    entries = []
    for row in rows:
        try:
            entries.append(entry_of(row))
        except BrokenRow as error:
            if strict:
                raise
            log.error("%s; it is left out", error)  # noqa: TRY400  (its cause may hold a prompt)
    return entries


# --- parts of transactions -----------------------------------------------------------------


def _change(
    said: Said, old: Entry, new: Entry, note: str, owner: str, now: float, *, booked: bool = False
) -> Transaction[Entry]:
    written = attrs.evolve(new, revision=old.revision + 1)
    rows = yield UPDATE, {**changing_of(written), "was": old.revision}
    if not rows:
        raise Superseded(old.id)
    yield from _event(written, old.state, note or new.reason, owner, now)
    if not booked and (new.reserved != old.reserved or new.spent != old.spent):
        yield from book(said, old, new, now)
    yield from learn(old.state, new)
    why = note or new.reason
    said.say(logging.INFO, f"job {old.id}: {old.state} -> {new.state}{f' ({why})' if why else ''}")
    said.written.append(written)
    return written


def _asked_again(said: Said, known: Entry, entry: Entry, owner: str, now: float) -> Transaction[Entry]:
    """Queue a job again as *entry* has it, if nothing was bought."""
    if known.bought or known.state == "leased":
        return known
    if known.state == "queued":
        asked = replanned(known, entry)
    else:
        again = requeued(known, entry.plan, kept=entry.kept)
        asked = attrs.evolve(again, owner=None if again.kept else owner)
    if entry.inputs is not None and (known.inputs is None or known.inputs.body != entry.inputs.body):
        asked = attrs.evolve(asked, inputs=entry.inputs)  # they were forgotten, or its files lie elsewhere by now
    yield from open_scopes(asked)
    if asked == known:
        return known
    asked = yield from _change(said, known, asked, "asked for again", owner, now)
    if asked.inputs != known.inputs:
        yield NEW_INPUTS, {"id": asked.id, "inputs": columns_of(asked)["inputs"]}
    return asked


def _take_over(said: Said, held: Iterable[Entry], owner: str, now: float) -> Transaction[list[Entry]]:
    taken = []
    for entry in held:
        with contextlib.suppress(Superseded):  # another process was quicker
            taken.append((yield from _change(said, entry, orphaned(entry, now), "", owner, now)))
    return taken


def _event(entry: Entry, was: str, note: str, owner: str, now: float) -> Transaction[None]:
    yield (
        ("INSERT INTO event (job_id, at, owner, was, state, reserved, spent, note)"
        " VALUES (:job_id, :at, :owner, :was, :state, :reserved, :spent, :note)"),
        {
            "job_id": entry.id, "at": now, "owner": owner, "was": was, "state": entry.state,
            "reserved": entry.reserved, "spent": entry.spent, "note": printable(note),
        },
    )  # fmt: skip
