"""The one place that spends money: intent, create, answer, in this order, and nothing twice."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias, TypeVar

import attrs

from kie_core._errors import (
    LedgerError,
    Maintenance,
    NotSent,
    OutOfCredits,
    RateLimited,
    Refused,
    Unauthorized,
)
from kie_core._jobs.answer import Accepted, Answer, Unknown, Verdict, asked_again, unknown, verdict
from kie_core._jobs.job import Request
from kie_core._jobs.outcome import Failure
from kie_core._ledger.entry import Entry, Plan, WrongStep, accepted, cancelled, denied, refused, submitting, waiting
from kie_core._ledger.entry import unknown as lost
from kie_core._ledger.gates import Signal
from kie_core._ledger.ledger import Ledger, Move, Superseded, TaskTaken
from kie_core._ledger.process import awake_seconds
from kie_core._ledger.spill import Spill, Spilt
from kie_core._network.http import Http, SentWithoutAnswer
from kie_core._network.transport import CONNECT_SECONDS
from kie_core._wait import Clock

T = TypeVar("T")
#: What came of a create.
Judged: TypeAlias = "Verdict | NotSent"

log = logging.getLogger("kie_core")

#: Seconds between the attempts to write an answer into a ledger that cannot be written.
_AGAIN: Final = (0.2, 1.0, 3.0)
#: A create that has not left so many seconds after its intent was begun does not leave any more.
STALE_SECONDS: Final = 5.0
#: The same, with the time for a connection: what has not been connected by then is not sent.
LATEST_SECONDS: Final = STALE_SECONDS + CONNECT_SECONDS
#: Seconds after which a task id is written beside a ledger that has not taken it yet.
_SOON: Final = 0.5
#: Seconds before a create that did not leave this machine is tried again: the first time, and at the most.
NOT_SENT_SECONDS: Final = (0.5, 30.0)


@attrs.define
class Buyer:
    """Sends creates.

    Attributes:
        ledger: Where intents and answers are written.
        http: The network.
        spill: Takes a task id that the ledger does not take; None: the ledger is in memory.
        clock: For the time between two attempts to write.
        seconds: How long to wait for the answer to a create.
    """

    ledger: Ledger
    http: Http
    spill: Spill | None
    clock: Clock
    seconds: float
    #: Answers that the ledger has not taken yet: the job, and Kie's task id.
    unwritten: dict[str, Spilt] = attrs.field(factory=dict)
    #: The same for what named no task: the intent, and what came of it.
    unsettled: dict[str, tuple[Entry, Judged]] = attrs.field(factory=dict)
    #: Nothing is bought any more.
    closed: bool = False
    _on_their_way: set[asyncio.Future[tuple[Entry, Judged | None]]] = attrs.field(factory=set)

    async def buy(
        self, entry: Entry, request: Request, known: Sequence[tuple[int, str]]
    ) -> tuple[Entry, Judged | None]:
        """Send the create of a leased job once. **Costs money.** Nothing else in this package sends one.

        A cancelled caller does not cut it off: the answer is awaited and written down first,
        because a task whose id nobody read is paid and lost.

        Args:
            entry: The job, leased by this process.
            request: Its create.
            known: Pairs of ``(code, message part)`` of the plugin that mean "nothing was made".

        Returns:
            The job as it stands now, and what came; None: it was put back before anything was sent.

        Raises:
            OverBudget, LedgerError, Superseded: Nothing was sent.
            asyncio.CancelledError: The caller was cancelled; a note of it says what became of the job.
        """
        await asyncio.sleep(0)  # a caller who is cancelled already leaves here, before anything is bought
        if self.closed:
            raise RuntimeError("the client is closed; nothing was sent")
        task = asyncio.ensure_future(self._bought(entry, request, known))
        self._on_their_way.add(task)
        task.add_done_callback(self._on_their_way.discard)
        return await uncut(task, self._told)

    async def answered(self) -> None:
        """Begin no create any more, and wait until every one that is on its way has its answer."""
        self.closed = True
        while self._on_their_way:
            await asyncio.wait(self._on_their_way)

    async def _bought(
        self, entry: Entry, request: Request, known: Sequence[tuple[int, str]]
    ) -> tuple[Entry, Judged | None]:
        began = awake_seconds()
        intent = await self._intended(entry)
        if intent.state != "submitting":
            return intent, None
        judged, answer = await self._sent(intent, request, known, began)
        if isinstance(judged, Accepted):
            written = await self._adopted(intent, judged)
            if written.task_id == judged.task_id:
                log.info("job %s: accepted as task %s", intent.id, judged.task_id)
        else:
            written = await self._written(intent, judged)
        if answer is not None:
            self.http.tell(request, answer)
        if isinstance(judged, Unknown):
            handle = written.handle(judged.task_id)
            log.error(
                "job %s: UNKNOWN whether Kie took it: %s; do not send it again (%s)", intent.id, judged.reason, handle
            )
            if judged.task_id is not None:
                await self._hinted(written, judged.task_id)
        return written, judged

    async def _intended(self, entry: Entry) -> Entry:
        try:
            return await self.ledger.intend(entry)
        except LedgerError as error:  # the intent may stand there; nothing was sent and nothing will be
            await self._taken_back(entry, str(error))
            raise

    async def _taken_back(self, entry: Entry, reason: str) -> None:
        """Put a job back whose intent may have been written, now or when the ledger can be written again."""
        try:
            current = await self.ledger.get(entry.id)
            if current is not None and current.owner == self.ledger.owner and current.state == "submitting":
                await self.ledger.change(current, lambda one, _: waiting(one, reason))
        except LedgerError:
            doubtful = attrs.evolve(submitting(entry, 0.0), revision=entry.revision + 1)
            self.unsettled[entry.id] = doubtful, NotSent(reason)
        except (Superseded, WrongStep):
            pass

    async def _sent(
        self, intent: Entry, request: Request, known: Sequence[tuple[int, str]], began: float
    ) -> tuple[Judged, Answer | None]:
        plan = intent.plan
        stood_still = awake_seconds() - began
        if stood_still > STALE_SECONDS:  # others may take the job for lost by now, and a person may have decided so
            return NotSent(f"this process stood still for {stood_still:.0f} s when it was about to send"), None
        try:
            answer = await self.http.create(
                request, seconds=self.seconds, sendable=lambda: awake_seconds() - began <= LATEST_SECONDS
            )
        except NotSent as error:
            return error, None
        except SentWithoutAnswer as error:
            if plan.kind == "derived":  # asking again is what this call is for
                return Accepted(plan.asks), None
            return _of_a(plan.kind, unknown(str(error), error.received), intent.id), None
        if plan.kind == "derived":
            return asked_again(answer, known, plan.asks), answer
        judged = verdict(answer, known, promises=plan.promises, made_before=plan.made_before)
        return _of_a(plan.kind, judged, intent.id), answer

    async def _adopted(self, intent: Entry, found: Accepted) -> Entry:
        """Write the task id down: in the ledger, or else beside it. No foreign code runs before that."""
        writing = asyncio.ensure_future(self._in_the_ledger(intent, found))
        try:
            await asyncio.wait({writing}, timeout=_SOON)
            if not writing.done() or writing.exception() is not None:
                self._beside_it(intent, found, "the ledger takes its time")
            return await writing
        except LedgerError:
            return accepted(intent, found.task_id, intent.submitted_at or 0.0, found.record)
        except BaseException:  # the loop itself is ending
            self._beside_it(intent, found, "the event loop ended")
            raise

    async def _in_the_ledger(self, intent: Entry, found: Accepted) -> Entry:
        for pause in _AGAIN:
            try:
                return await adopt(self.ledger, intent, found.task_id, answered=True, record=found.record)
            except LedgerError as error:
                problem = error
            if problem.kind != "full" or not await self.ledger.database.make_room():
                self._beside_it(intent, found, str(problem))
                await self.clock.sleep(pause)
        return await adopt(self.ledger, intent, found.task_id, answered=True, record=found.record)

    def _beside_it(self, intent: Entry, found: Accepted, problem: str) -> None:
        if intent.id in self.unwritten:
            return
        spilt = self.unwritten[intent.id] = Spilt(intent.account, intent.id, found.task_id, found.record)
        kept = self.spill is not None and self.spill.note(spilt)
        place = "it stands in the spill file" if kept else "write it down"
        log.critical("job %s is task %s, and %s; %s", intent.id, found.task_id, place, problem)

    async def write_again(self) -> None:
        """Try once more to write what the ledger did not take."""
        for job_id, spilt in list(self.unwritten.items()):
            try:
                entry = await self.ledger.get(job_id)
                if entry is None:  # an older file was put in its place: the id stays beside it
                    continue
                await adopt(self.ledger, entry, spilt.task_id, record=spilt.record)
            except LedgerError as error:
                log.critical("job %s is task %s, still not in the ledger: %s", job_id, spilt.task_id, error)
                continue
            self.unwritten.pop(job_id, None)
        for job_id, (intent, judged) in list(self.unsettled.items()):
            try:
                settled = await self._settled(intent, judged)
                if settled.state == "queued" and not settled.kept:  # its caller was told, and is gone
                    with contextlib.suppress(Superseded, WrongStep):
                        await self.ledger.change(settled, lambda one, now: cancelled(one, one.reason, now))
            except LedgerError as error:
                log.critical("job %s: what came of its create is still not in the ledger: %s", job_id, error)
                continue
            self.unsettled.pop(job_id, None)

    async def _written(self, intent: Entry, judged: Judged) -> Entry:
        for wait in (*_AGAIN, None):
            try:
                return await self._settled(intent, judged)
            except LedgerError as error:  # at worst it stays "submitting", and becomes "unknown"
                log.critical("job %s: what came of its create is not in the ledger: %s", intent.id, error)
                if error.kind == "full":
                    await self.ledger.database.make_room()
            if wait is not None:
                await self.clock.sleep(wait)
        self.unsettled[intent.id] = intent, judged
        return intent  # as it stands there: whoever went on from anything else would book on what is not booked

    async def _settled(self, intent: Entry, judged: Judged) -> Entry:
        move, signal = consequence(judged)
        pause = judged.retry_after if isinstance(judged, Refused) else None
        try:
            return await self.ledger.change(intent, move, signal=signal, pause=pause)
        except (Superseded, WrongStep):  # a callback, or somebody who took this process for dead
            current = await self.ledger.get(intent.id) or intent
        if current.state != "unknown" or current.submitted_at != intent.submitted_at or isinstance(judged, Unknown):
            return current
        said = str(judged)
        with contextlib.suppress(Superseded, WrongStep):
            return await self.ledger.change(
                current, lambda one, now: denied(one, said, now), signal=signal, pause=pause
            )
        return await self.ledger.get(intent.id) or current

    async def _hinted(self, entry: Entry, task_id: str) -> None:
        try:
            await self.ledger.receive(entry.account, entry.id, task_id, HINT)
        except LedgerError as error:
            log.warning("job %s: the task id %s in half an answer is not in the ledger: %s", entry.id, task_id, error)

    def _told(self, result: tuple[Entry, Judged | None], cancelled: asyncio.CancelledError) -> None:
        entry, judged = result
        if isinstance(judged, Accepted):
            note = f"cancelled, but the task goes on at Kie and is paid: kie save {entry.handle()}"
            log.warning("job %s: %s", entry.id, note)
            cancelled.add_note(note)
        elif isinstance(judged, Unknown):
            handle = entry.handle(judged.task_id)
            cancelled.add_note(f"cancelled, and it is unknown whether Kie took it; do not send it again: {handle}")


#: In place of a callback's digest: a task id that stood in half an answer.
HINT: Final = "answer"


def _of_a(kind: str, judged: Judged, job_id: str) -> Judged:
    """Return what was judged of a create; what a ``sync`` call makes is no task, and is known by its job."""
    if kind != "sync":
        return judged
    if isinstance(judged, Accepted):
        return attrs.evolve(judged, task_id=job_id)
    return attrs.evolve(judged, task_id=None) if isinstance(judged, Unknown) else judged


async def adopt(
    ledger: Ledger, entry: Entry, task_id: str, note: str = "", *, answered: bool = False, record: str | None = None
) -> Entry:
    """Write that a job is a task of Kie's, whatever happened to the job meanwhile.

    A task that another job has already stays with that one.

    Args:
        ledger: Where the job is.
        entry: The job, as last seen.
        task_id: Kie's.
        note: How it is known.
        answered: It is known from the create's own answer, just now.
        record: That answer, where it is the result itself.

    Raises:
        LedgerError: It could not be written.
    """
    while True:
        try:
            return await ledger.adopt(entry, task_id, note, answered=answered, record=record)
        except TaskTaken as error:
            reason = f"Kie named task {task_id}, which is job {error.job_id} already"
            log.critical("job %s: %s", entry.id, reason)
            if entry.state != "submitting":
                return entry
            with contextlib.suppress(Superseded):
                return await ledger.change(entry, _taken_because(reason, error.job_id, entry.plan))
            entry = await _again(ledger, entry)
        except Superseded:
            entry = await _again(ledger, entry)
        except WrongStep:
            await ledger.note(entry, f"a second task of this job: {task_id}")
            log.critical("job %s is task %s already, and Kie named task %s too", entry.id, entry.task_id, task_id)
            return entry


async def _again(ledger: Ledger, entry: Entry) -> Entry:
    found = await ledger.get(entry.id)
    if found is None:
        problem = f"it does not know job {entry.id} any more"
        raise LedgerError(ledger.database.place, problem, "was an older file put in its place?")
    return found


def _taken_because(reason: str, job_id: str, plan: Plan) -> Move:
    """Return the step of a job whose task another one has: no purchase, where a call names what was made earlier."""
    if plan.kind == "derived" or plan.made_before:
        failure = Failure(f"nothing new was made: it is job {job_id} already; `kie save {job_id}`", "422")
        return lambda entry, now: refused(entry, failure, now)
    return lambda entry, _: lost(entry, reason)


def consequence(judged: Judged) -> tuple[Move, Signal]:
    """Return the step of the job, and what it means for the account, when nothing was clearly made."""
    if isinstance(judged, Unknown):
        return (lambda entry, _: lost(entry, judged.reason)), "fault"
    if isinstance(judged, NotSent):
        return (lambda entry, now: waiting(entry, str(judged), now + not_sent_pause(entry.attempts))), "fault"
    assert isinstance(judged, Refused)
    if isinstance(judged, RateLimited):
        return (lambda entry, _: waiting(entry, str(judged))), "limited"
    if isinstance(judged, Maintenance):
        return (lambda entry, _: waiting(entry, str(judged))), "maintenance"
    failure = Failure(judged.message or f"code {judged.code}", str(judged.code))
    if isinstance(judged, (Unauthorized, OutOfCredits)):
        signal: Signal = "unauthorized" if isinstance(judged, Unauthorized) else "credits"
        return (lambda entry, now: waiting(entry, str(judged)) if entry.kept else refused(entry, failure, now)), signal
    return (lambda entry, now: refused(entry, failure, now)), "answered"


def not_sent_pause(attempts: int) -> float:
    """Return the seconds before a create that did not leave is tried again."""
    first, most = NOT_SENT_SECONDS
    return float(min(most, first * 2.0 ** min(attempts, 10)))


async def uncut(task: asyncio.Future[T], told: Callable[[T, asyncio.CancelledError], None]) -> T:
    """Await *task* to its end, however often the caller is cancelled; then raise the cancellation, *told* what came."""
    cancelled: asyncio.CancelledError | None = None
    while not task.done():  # some frameworks cancel again and again
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is None:
        return task.result()
    if not task.cancelled() and task.exception() is None:
        told(task.result(), cancelled)
    raise cancelled
