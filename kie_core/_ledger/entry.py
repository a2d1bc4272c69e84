"""A job as the ledger knows it, and the steps that it may take: pure, each from one entry to the next.

::

    queued --> leased --> submitting --> running --> succeeded | failed | expired
      ^          |            |  |          ^
      |          v            |  +------> unknown --> not_submitted | abandoned
      +----------+------------+
      +--> cancelled

No step leads from ``unknown`` back to ``queued``: what may have been bought is never sent again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import ROUND_CEILING, Decimal
from typing import Any, Final, Literal, TypeAlias

import attrs

from kie_core._budget import Limit
from kie_core._jobs.job import Handle, Kind
from kie_core._jobs.outcome import Failure, Outcome, SavedFile
from kie_core._models.model import Media

JobState: TypeAlias = Literal[
    "queued", "leased", "submitting", "unknown", "running", "succeeded", "failed", "expired", "cancelled",
    "not_submitted", "abandoned",
]  # fmt: skip
STATES: Final[tuple[JobState, ...]] = JobState.__args__  # type: ignore[attr-defined]  # a Literal's own
#: Nothing happens to these any more, unless Kie itself says otherwise.
ENDED: Final[frozenset[JobState]] = frozenset(
    {"succeeded", "failed", "expired", "cancelled", "not_submitted", "abandoned"}
)
#: These may be, or are, at work at Kie and count against what it runs at once.
ACTIVE: Final[tuple[JobState, ...]] = ("leased", "submitting", "unknown", "running")

#: Seconds after which a job is not asked about any more. Not a fact of Kie's: the longest success that was
#: recorded took 785 s.
JOB_SECONDS: Final[dict[Media, float]] = {
    "image": 3600.0,
    "audio": 3600.0,
    "video": 7200.0,
    "text": 3600.0,
    "data": 3600.0,
}
#: Kie may not know a task for a while after it made it, or lose sight of it; longer than this in a row, and it is gone.
INVISIBLE_SECONDS: Final = 90.0
#: And so many answers in a row have to say so: what the clock does alone proves nothing.
MISSING_ANSWERS: Final = 5
#: Kie keeps what it made for so long. Source: docs.kie.ai/1973359m0, read 2026-04-29.
KEPT_SECONDS: Final = 14 * 86400.0
#: A task that succeeded without naming its result is asked again for this long.
RESULTLESS_SECONDS: Final = 60.0
#: A plugin that cannot read this many answers in a row is broken, not unlucky.
UNREADABLE_ANSWERS: Final = 5


@attrs.frozen(kw_only=True)
class Plan:
    """What a job is, without its inputs: enough to read it back when registry and plugin are gone.

    Attributes:
        model, category, media, wire: As in the job.
        create, query, task_param: Its endpoint.
        kind, promises, made_before: How its result is had, as in `Endpoint`.
        asks: The query of a ``derived`` call, which stands for its task id.
        callback_field: Where its callback URL belongs in the body; None: nowhere.
        contract, credits, wire_price, unit: Its price, see `Price`; credits as text.
        kopecks_per_credit: The rate, frozen, as text.
        limits: The scopes that it is booked on.
        seconds: How long Kie may take before nobody asks any more.
        folder: Where `advance` saves its results; None: it does not.
        uploads_until: When the first of its uploads expires, in seconds since 1970; None: it has none.
        any_price: Its caller buys it under a limit although its price is unknown.
        raw: No registry vouches for it: inputs and price are the caller's own.
    """

    model: str
    category: str
    media: Media
    wire: str
    create: str
    query: str
    task_param: str
    callback_field: str | None
    contract: int | None
    credits: str | None
    wire_price: int | None
    unit: str | None
    kopecks_per_credit: str
    limits: tuple[Limit, ...]
    seconds: float
    folder: str | None = None
    kind: Kind = "task"
    promises: tuple[str, ...] = ()
    made_before: tuple[int, ...] = ()
    asks: str = ""
    uploads_until: float | None = None
    any_price: bool = False
    raw: bool = False

    @property
    def price(self) -> int | None:
        """What is reserved, in kopecks: the higher of its prices; None: both are unknown."""
        return max((price for price in (self.contract, self.wire_price) if price is not None), default=None)

    def actual(self, outcome: Outcome | None) -> int:
        """Return what the job cost: the credits that Kie reports, else today's price, else what was reserved."""
        reported = None if outcome is None else outcome.credits
        if isinstance(reported, (int, float)) and not isinstance(reported, bool) and 0 <= reported < _MOST_CREDITS:
            exact = Decimal(str(reported)) * Decimal(self.kopecks_per_credit)
            return int(exact.to_integral_value(ROUND_CEILING))
        return next((price for price in (self.wire_price, self.contract) if price is not None), 0)


#: No job costs a hundredth of it; what Kie reports beyond is no price.
_MOST_CREDITS: Final = 10_000_000


@attrs.frozen(kw_only=True)
class Inputs:
    """What the caller typed, and what is sent: may be personal, and can be forgotten."""

    params: Mapping[str, Any]
    given: tuple[str, ...]
    body: Mapping[str, Any]


@attrs.frozen(kw_only=True)
class Entry:
    """One job in the ledger. Times are seconds since 1970, by the ledger's clock.

    Attributes:
        id: The job's id.
        account: Hash of base URL and key.
        plan: What it is.
        inputs: What was asked for; None: not kept, or forgotten.
        fingerprint: Hash of what is sent: same key and same fingerprint are the same job.
        job_key: The caller's own name for it.
        kept: Stays queued until it is sent, even when its caller is gone.
        revision: Counts the changes; every change names the one that it follows.
        state: Where it stands.
        owner: The process that holds it; one that is not kept has one from the beginning, and ends with it.
        task_id: Kie's; where it makes no task, what stands for it: the job's own id, or the query of a derived call.
        record: The answer to a ``sync`` create, which is all that there will ever be to read.
        reserved, spent: Kopecks.
        attempts: Creates that were refused for now or not sent.
        reason: Why it waits, or how it ended, in words.
        outcome: What Kie last said of it, if that matters.
        saved: Its files on this machine.
        slot: When its create may leave.
        not_before: When it may be tried again.
        missing_since, missing, resultless_since, unreadable: Since when, and how often, answers did not tell.
    """

    id: str
    account: str
    plan: Plan
    inputs: Inputs | None
    fingerprint: str
    job_key: str | None = None
    kept: bool = False
    revision: int = 0
    state: JobState = "queued"
    owner: str | None = None
    task_id: str | None = None
    reserved: int = 0
    spent: int = 0
    attempts: int = 0
    reason: str = ""
    outcome: Outcome | None = None
    saved: tuple[SavedFile, ...] = ()
    created_at: float = 0.0
    submitted_at: float | None = None
    finished_at: float | None = None
    slot: float | None = None
    not_before: float = 0.0
    missing_since: float | None = None
    missing: int = 0
    resultless_since: float | None = None
    unreadable: int = 0
    record: str | None = None

    @property
    def deadline(self) -> float | None:
        """After this nobody waits for Kie any more; None: it was not sent."""
        return None if self.submitted_at is None else self.submitted_at + self.plan.seconds

    @property
    def ended(self) -> bool:
        return self.state in ENDED

    @property
    def bought(self) -> bool:
        """Whether Kie made a task of it, or may have."""
        return self.task_id is not None or self.state in ("submitting", "unknown", "abandoned")

    def handle(self, task_id: str | None = None) -> str:
        """Return the text that resumes it anywhere; with *task_id*, where another is supposed."""
        return Handle(self.id, self.plan.model, self.plan.wire, task_id or self.task_id).text

    @property
    def may_return(self) -> bool:
        """Whether we stopped asking about it, and Kie may have made it all the same."""
        return self.state == "expired" and self.outcome is not None and self.outcome.state == "expired"

    @property
    def unsaved(self) -> bool:
        """Whether it has results that do not lie on this machine, or has not named them yet."""
        if self.state != "succeeded" or self.outcome is None:
            return False
        return len({file.number for file in self.saved}) < max(1, len(self.outcome.artifacts))


def fingerprint(model: str, wire: str, path: str, body: Mapping[str, Any]) -> str:
    """Return the hash of what is bought, whatever the order of its fields."""
    text = json.dumps([model, wire, path, body], ensure_ascii=True, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


class WrongStep(Exception):
    """The entry is not in a state from which this step leads. Never leaves this package."""

    def __init__(self, entry: Entry, step: str) -> None:
        super().__init__(f"job {entry.id} is {entry.state}: {step} is not possible")
        self.entry = entry


def _expect(entry: Entry, step: str, *states: JobState) -> None:
    if entry.state not in states:
        raise WrongStep(entry, step)


# --- buying ------------------------------------------------------------------------------


def leased(entry: Entry, owner: str, slot: float) -> Entry:
    """*owner* takes the job and a place in the queue of creates; nothing was sent."""
    _expect(entry, "leasing", "queued")
    return attrs.evolve(entry, state="leased", owner=owner, slot=slot, reason="")


def waiting(entry: Entry, reason: str, not_before: float = 0.0) -> Entry:
    """It goes back into the queue; nothing was sent, or Kie said "later"."""
    _expect(entry, "queueing", "queued", "leased", "submitting")
    return attrs.evolve(
        entry, state="queued", owner=None if entry.kept else entry.owner, slot=None, reserved=0, submitted_at=None,
        reason=reason,
        not_before=not_before, attempts=entry.attempts + (entry.state == "submitting"),
    )  # fmt: skip


def submitting(entry: Entry, now: float) -> Entry:
    """The intent: its price is reserved and its create may be on the wire from here on."""
    _expect(entry, "sending", "leased")
    return attrs.evolve(entry, state="submitting", submitted_at=now, reserved=entry.plan.price or 0)


def accepted(entry: Entry, task_id: str, now: float, record: str | None = None) -> Entry:
    """Kie named its task, or sent the result itself. True whoever says so first: the answer, a callback, a person."""
    if entry.task_id == task_id:
        return entry
    if entry.task_id is not None:
        raise WrongStep(entry, "adopting another task")
    return attrs.evolve(
        entry, state="running", owner=None, task_id=task_id, slot=None, reason="", finished_at=None,
        outcome=None, reserved=entry.plan.price or 0, spent=0, submitted_at=entry.submitted_at or now, record=record,
    )  # fmt: skip


def refused(entry: Entry, why: Failure, now: float) -> Entry:
    """Kie said no for good: nothing was made, nothing is owed."""
    _expect(entry, "refusing", "submitting", "leased", "queued")
    outcome = Outcome("failed", error=why)
    return attrs.evolve(
        entry, state="failed", owner=None, slot=None, reserved=0, outcome=outcome, reason=why.message, finished_at=now
    )


def unknown(entry: Entry, reason: str) -> Entry:
    """Nobody can say whether Kie took it: the price stays reserved, and it is never sent again."""
    _expect(entry, "losing sight", "submitting")
    return attrs.evolve(entry, state="unknown", owner=None, slot=None, reason=reason)


def cancelled(entry: Entry, reason: str, now: float) -> Entry:
    """It was called off before anything was sent."""
    _expect(entry, "cancelling", "queued", "leased")
    return attrs.evolve(entry, state="cancelled", owner=None, slot=None, reserved=0, reason=reason, finished_at=now)


def replanned(entry: Entry, other: Entry) -> Entry:
    """It is asked for once more before it was sent: at today's price, booked on every scope that was named, and kept
    if anybody says so.
    """
    caps = {limit.scope: limit.cap for limit in entry.plan.limits}
    for limit in other.plan.limits:
        said = [cap for cap in (caps.get(limit.scope), limit.cap) if cap is not None]
        caps[limit.scope] = min(said, default=None)
    limits = tuple(Limit(scope, cap) for scope, cap in caps.items())
    plan = attrs.evolve(other.plan, limits=limits, folder=other.plan.folder or entry.plan.folder)
    return attrs.evolve(entry, plan=plan, kept=entry.kept or other.kept)


def requeued(entry: Entry, plan: Plan | None = None, *, kept: bool = False) -> Entry:
    """Its caller asks for it again, perhaps at another price or limit: possible where nothing was bought."""
    if entry.bought or not entry.ended:
        raise WrongStep(entry, "asking again")
    return attrs.evolve(
        entry, state="queued", plan=plan or entry.plan, kept=entry.kept or kept, outcome=None, reason="",
        submitted_at=None, finished_at=None, not_before=0.0, attempts=0,
    )  # fmt: skip


def orphaned(entry: Entry, now: float) -> Entry:
    """Its process is gone."""
    if entry.state == "submitting":
        return unknown(entry, "the process ended while the create was on its way")
    if entry.kept:
        return waiting(entry, "the process that held it ended before anything was sent")
    return cancelled(entry, "the process ended before anything was sent", now)


# --- results ------------------------------------------------------------------------------


def saved(entry: Entry, files: Sequence[SavedFile]) -> Entry:
    """These results lie on this machine."""
    known = {file.number: file for file in (*entry.saved, *files)}
    return attrs.evolve(entry, saved=tuple(known[number] for number in sorted(known)))


def faded(entry: Entry) -> Entry:
    """The results are not at Kie any more; they were paid, and are not bought again by themselves."""
    _expect(entry, "fading", "succeeded")
    return attrs.evolve(entry, state="expired", reason="its results are not at Kie any more")


# --- deciding by hand --------------------------------------------------------------------


def not_submitted(entry: Entry, now: float) -> Entry:
    """A person says that Kie never saw it: the price is released."""
    _expect(entry, "calling it not submitted", "unknown")
    return attrs.evolve(entry, state="not_submitted", reserved=0, reason="by hand: Kie never saw it", finished_at=now)


def denied(entry: Entry, reason: str, now: float) -> Entry:
    """Kie's own answer says that it made nothing, and came after its process had been taken for dead."""
    _expect(entry, "denying", "unknown")
    return attrs.evolve(entry, state="not_submitted", reserved=0, reason=reason, finished_at=now)


def abandoned(entry: Entry, now: float) -> Entry:
    """A person gives it up: the price is written off."""
    _expect(entry, "abandoning", "unknown")
    return attrs.evolve(
        entry, state="abandoned", reserved=0, spent=entry.reserved, reason="by hand: given up", finished_at=now
    )


# --- reading -----------------------------------------------------------------------------


@attrs.frozen
class Missing:
    """Kie does not know the task."""

    reason: str


@attrs.frozen
class Unreadable:
    """The plugin could not read the answer."""

    reason: str


#: What one question gave: an outcome, "not known", "not readable", or None for no answer at all.
Reading: TypeAlias = Outcome | Missing | Unreadable | None


def read(entry: Entry, reading: Reading, now: float, patience: float | None = None) -> Entry:
    """Judge one answer about a running job. What tells nothing leaves the state as it is.

    The first end counts. Only a success that comes after a failure, or after we stopped asking, changes it.

    Args:
        entry: The job.
        reading: What one question gave.
        now: The ledger's time, for what is written down.
        patience: The time by a clock that nobody sets; patience ends by the earlier of the two. None: *now*.
    """
    by = now if patience is None else min(now, patience)
    if entry.task_id is None or entry.state not in ("running", "succeeded", "failed", "expired"):
        return entry
    if reading is None:
        return attrs.evolve(entry, missing_since=None, missing=0)
    if isinstance(reading, Unreadable):
        return attrs.evolve(entry, unreadable=entry.unreadable + 1)
    if isinstance(reading, Missing):
        return _missing(entry, reading, now, by)
    entry = attrs.evolve(entry, missing_since=None, missing=0, unreadable=0)
    if not reading.finished:
        return _late(entry, now, by)
    if reading.state == "succeeded":
        return _succeeded(entry, reading, now, by)
    return _ended(entry, reading, now) if entry.state == "running" else entry


def _succeeded(entry: Entry, outcome: Outcome, now: float, by: float) -> Entry:
    if entry.state == "succeeded" and not (outcome.artifacts and entry.outcome and not entry.outcome.artifacts):
        return entry
    if not outcome.artifacts:
        since = entry.resultless_since if entry.resultless_since is not None else by
        if by - since < RESULTLESS_SECONDS and entry.state == "running":
            return attrs.evolve(entry, resultless_since=since)
    return _ended(entry, outcome, now)


def _missing(entry: Entry, reading: Missing, now: float, by: float) -> Entry:
    since = entry.missing_since if entry.missing_since is not None else by
    entry = attrs.evolve(entry, missing_since=since, missing=min(entry.missing + 1, MISSING_ANSWERS))
    if entry.state == "running" and entry.missing >= MISSING_ANSWERS and by - since >= INVISIBLE_SECONDS:
        return _ended(entry, Outcome("expired", remark=f"Kie does not know the task: {reading.reason}"), now)
    return entry


def _late(entry: Entry, now: float, by: float) -> Entry:
    if entry.state != "running" or entry.deadline is None or by < entry.deadline:
        return entry
    hours = entry.plan.seconds / 3600
    remark = f"it did not end within {hours:g} h; nobody asks any more, `kie resume` looks once more"
    return _ended(entry, Outcome("expired", remark=remark), now)


def _ended(entry: Entry, outcome: Outcome, now: float) -> Entry:
    made_at = min(now, (entry.submitted_at or now) + outcome.seconds) if outcome.seconds is not None else now
    dated = attrs.evolve(outcome, artifacts=tuple(_dated(artifact, made_at) for artifact in outcome.artifacts))
    words = outcome.error.message if outcome.error is not None else outcome.remark or ""
    state: JobState = outcome.state if outcome.state in ("succeeded", "failed") else "expired"
    return attrs.evolve(
        entry,
        state=state,
        outcome=dated,
        reserved=0,
        spent=entry.plan.actual(outcome),
        finished_at=now,
        reason=words,
        resultless_since=None,
    )


def _dated(artifact: Any, now: float) -> Any:
    if artifact.lifetime is None or artifact.expires_at is not None:
        return artifact
    return attrs.evolve(artifact, expires_at=datetime.fromtimestamp(now + artifact.lifetime, UTC))
