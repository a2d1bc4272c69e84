"""Drive jobs, one step at a time: submit, ask, save. All that changes a job at Kie or in the ledger passes here."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import math
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, Final

import attrs

from kie_core._answer import Accepted, Answer, task_named
from kie_core._budget import Budget
from kie_core._config import Settings
from kie_core._dispatch import Dispatcher, reading
from kie_core._echo import proves
from kie_core._entry import (
    UNREADABLE_ANSWERS,
    Entry,
    Missing,
    Plan,
    Reading,
    Unreadable,
    WrongStep,
    cancelled,
    faded,
    read,
    saved,
    waiting,
)
from kie_core._errors import (
    KieError,
    LedgerError,
    Maintenance,
    NoKey,
    NotSent,
    OverBudget,
    PluginFailed,
    RateLimited,
    ReadFailed,
    ReadRefused,
    RecordMissing,
    Refused,
    SaveFailed,
    SubmitUnknown,
    UnknownJob,
    WaitTimeout,
    WrongState,
)
from kie_core._gates import GATE_SECONDS
from kie_core._http import Http
from kie_core._job import Request
from kie_core._ledger import Callback, Ledger, Move, Superseded
from kie_core._outcome import Artifact, Outcome, record
from kie_core._pace import Pace
from kie_core._plan import Planner
from kie_core._question import answered
from kie_core._rows import can_be_kept
from kie_core._spill import left_behind
from kie_core._submit import HINT, Buyer, Judged, adopt, uncut
from kie_core._wait import Clock, Schedule
from kie_core._watch import Watch, Watcher

log = logging.getLogger("kie_core")

#: A caller who waits gives up after so many creates in a row that did not leave this machine.
NOT_SENT_TRIES: Final = 5
#: So many jobs at once are sent for `advance`, however many are stepped: those that run are asked about meanwhile.
SENDERS: Final = 24
#: Seconds until a job that another process holds, or a closed gate, is looked at again.
HELD_SECONDS: Final = 5.0
#: The same, where a caller waits for it.
_SEEN_SECONDS: Final = 0.2
#: No job is put back for longer, and no gate stays closed; a time beyond that says that the clock went back.
_LONGEST_WAIT: Final = GATE_SECONDS[1]
#: Seconds between two tries, whatever the ledger says.
_SHORTEST_WAIT: Final = 0.05
#: Letters of a word of Kie's that the log shows, and words in all.
_LONGEST_WORD: Final = 200
_MOST_WORDS: Final = 1000
#: A caller is told of a wait that is longer.
_LONG_WAIT: Final = 3.0
#: So many jobs at once have their results saved by `advance`: a file host that drips does not hold up the others.
SAVERS: Final = 8


def still_running(outcome: Outcome) -> Outcome:
    """Return what is told of a task that did not end: a success whose result Kie has yet to name is no end."""
    if outcome.state != "succeeded":
        return outcome
    return attrs.evolve(outcome, state="running", remark="succeeded, but its result is not named yet")


@attrs.frozen
class Step:
    """What one step made of a job.

    Attributes:
        entry: The job as it stands now.
        outcome: What Kie said in this step; None: it was not asked, or did not tell.
        wait: Seconds after which the next step makes sense; None: there is none.
        problem: Why Kie's answer did not tell.
    """

    entry: Entry
    outcome: Outcome | None = None
    wait: float | None = None
    problem: str = ""


@attrs.define
class Runner:
    """Drives the jobs of one account on one ledger.

    Attributes:
        account: Hash of base URL and key.
        settings, dispatcher, schedule, clock: The client's.
        ledger: Where the jobs are.
        http: The network.
        buyer: What sends creates.
        stem: The path beside which spill files lie; None: none.
        budgets: The client's: jobs that others put into the ledger are bought under its limits, too.
    """

    account: str
    settings: Settings
    dispatcher: Dispatcher
    ledger: Ledger
    http: Http
    buyer: Buyer
    schedule: Schedule | Pace
    clock: Clock
    stem: Path | None
    budgets: Sequence[Budget] = ()
    planner: Planner = attrs.field(init=False)
    watcher: Watcher = attrs.field(init=False)
    _requests: dict[str, Request] = attrs.field(factory=dict)
    #: Jobs that are being sent from here, once for each who tries.
    _trying: list[str] = attrs.field(factory=list)
    _strangers: set[str] = attrs.field(factory=set)
    #: Words of Kie's that no page knows, each told once: of which model, and which word.
    _told: set[tuple[str, str]] = attrs.field(factory=set)
    _began: tuple[float, float] = attrs.field(init=False)
    _sending: asyncio.Semaphore = attrs.field(factory=lambda: asyncio.Semaphore(SENDERS))
    _saving: asyncio.Semaphore = attrs.field(factory=lambda: asyncio.Semaphore(SAVERS))

    @planner.default
    def _planner(self) -> Planner:
        return Planner(self.account, self.settings, self.dispatcher)

    @watcher.default
    def _watcher(self) -> Watcher:
        return Watcher(self.poll, self.clock, self.schedule, self.settings.polls_per_second)

    @_began.default
    def _now(self) -> tuple[float, float]:
        return self.clock.time(), self.clock.now()

    def _patience(self) -> float:
        """Return the time by which patience with Kie ends: that of the start, and what passed since by a clock that
        nobody sets, and that stands still while the machine sleeps.
        """
        wall, steady = self._began
        return wall + self.clock.now() - steady

    def _ours(self, entry: Entry) -> Entry:
        """Return a job of this account.

        Raises:
            WrongState: It is another's: Kie would not know its task, and a create would be paid by the wrong one.
        """
        if entry.account != self.account:
            problem = (
                f"it belongs to account {entry.account}, and this key and address to {self.account}; use those that "
                f"it was made with (after a change of the key: KIE_ACCOUNT={entry.account})"
            )
            raise WrongState(entry.id, entry.state, problem)
        return entry

    # --- steps ----------------------------------------------------------------------------

    async def add(self, entry: Entry) -> Entry:
        """Write a job into the ledger, before anything is sent; a job whose key is known is that job.

        Raises:
            JobKeyTaken: The key belongs to another request.
            LedgerError: The ledger cannot be written.
        """
        self.planner.request_of(entry)  # what cannot be sent is not written
        stored = entry if self.planner.keeps_inputs else attrs.evolve(entry, inputs=None)
        while True:
            try:
                added = await self.ledger.add(stored)
                break
            except Superseded:  # another caller asked for the same just now
                continue
        if added.inputs is None and added.state == "queued":
            self._requests[added.id] = self.planner.request_of(attrs.evolve(added, inputs=entry.inputs))
        return added

    def _request_of(self, entry: Entry) -> Request:
        return self._requests.get(entry.id) or self.planner.request_of(entry)

    async def advance(self, job_id: str, *, end: float = math.inf) -> Step:
        """Do the next step of a job: submit it, ask about it, or save it. **May cost money**: a queued job is bought.

        Safe to call any number of times, from any process of any machine that shares the ledger.

        Args:
            job_id: The job.
            end: The time by the client's clock after which nobody waits for its turn any more; it stays queued.

        Raises:
            UnknownJob: The ledger does not know it.
            OverBudget: There is no room for it at the moment; it stays queued.
            WrongState: Its inputs are not known any more, or it belongs to another account.
            KieError: As `read_on` says.
        """
        entry = await self.ledger.get(job_id)
        if entry is not None and entry.state == "queued":
            return await self._advance_queued(self._ours(entry), end)
        return await self.read_on(job_id)

    async def read_on(self, job_id: str) -> Step:
        """Do the next step of a job that was sent: ask about it, or save it. Never buys.

        Raises:
            UnknownJob: The ledger does not know it.
            WrongState: It belongs to another account.
            ReadRefused, PluginFailed, SaveFailed: The step failed; the job stays as it was.
        """
        entry = await self.ledger.get(job_id)
        if entry is None:
            raise UnknownJob(job_id, self.ledger.database.place)
        self._ours(entry)
        if entry.state == "queued":
            return Step(entry)
        if entry.state == "leased" and entry.owner == self.ledger.owner and entry.id not in self._trying:
            given_back = await self._released(entry.id, "it was left off before anything was sent") or entry
            return Step(given_back, wait=None if given_back.ended else _SHORTEST_WAIT)
        if entry.state in ("leased", "submitting"):
            return Step(entry, wait=HELD_SECONDS)
        if entry.state in ("unknown", "running"):
            await self.look_into_callbacks(entry.id)
            entry = await self.ledger.get(job_id) or entry
        if entry.state == "running":
            return await self._ask_unless_quiet(entry)
        if entry.unsaved and entry.plan.folder is not None:
            if self._saving.locked():
                return Step(entry, entry.outcome, _SEEN_SECONDS)
            async with self._saving:
                entry, _ = await self.save(entry, Path(entry.plan.folder))
        return Step(entry, entry.outcome)

    async def _ask_unless_quiet(self, entry: Entry) -> Step:
        quiet = self.watcher.quiet()
        if quiet > 0 and entry.plan.kind != "sync":  # whose result is here already
            return Step(entry, wait=quiet)
        step = await self.ask(entry)
        if step.entry.unsaved and step.entry.plan.folder is not None:
            return attrs.evolve(step, wait=0.0)
        return step

    async def _advance_queued(self, entry: Entry, end: float) -> Step:
        now = await self.ledger.time()
        wait = entry.not_before - now
        if 0 < wait <= _LONGEST_WAIT:
            return Step(entry, wait=wait)
        rise = self.planner.risen(entry) or self.planner.outlived(entry, now)
        if rise is not None:
            return Step(await self._write(entry, lambda one, now: cancelled(one, rise, now)))
        if self._sending.locked():
            return Step(entry, wait=_SEEN_SECONDS)
        limited = self.planner.limited(entry, self.budgets)
        if limited is not entry:
            return Step(await self.ledger.add(limited), wait=0.0)
        self._trying.append(entry.id)
        try:
            async with self._sending:
                moved, _, wait = await self._try(entry, self._request_of(entry), max(0.0, end - self.clock.now()))
                if moved.revision == entry.revision:  # held back, perhaps by what a person opens meanwhile
                    wait = min(wait, HELD_SECONDS)
                left = max(0.0, end - self.clock.now())
                if moved.state == "queued" and wait > left > 0:
                    await self.clock.sleep(left)  # else each of the others would take a turn, and give it up
        except OverBudget as error:
            await self._let_go(entry.id, error)
            raise
        except Superseded:
            return Step(await self.ledger.get(entry.id) or entry, wait=0.0)
        finally:
            self._trying.remove(entry.id)
        return Step(moved, wait=None if moved.ended or moved.state == "unknown" else wait, problem=moved.reason)

    async def _try(self, entry: Entry, request: Request, left: float = math.inf) -> tuple[Entry, Judged | None, float]:
        """Take a place in the queue of creates, wait for it and buy. Returns also the seconds until the next try."""
        known = self.dispatcher.refused(self.planner.job_of(entry))
        interval = 10.0 / self.settings.creates_per_10_seconds * 1.1
        try:
            leased = await self.ledger.claim(entry, interval=interval, most=self.settings.concurrency)
            ahead = await self.ledger.time() - self.clock.time()  # the ledger's clock may be another machine's
            if leased.slot is None:
                return leased, None, max(_SHORTEST_WAIT, leased.not_before - ahead - self.clock.time())
            turn = leased.slot - ahead - self.clock.time()
            if turn > left:
                reason, slot = f"its turn to be sent comes in {turn:.0f} s", leased.slot
                return await self._write(leased, lambda one, _: waiting(one, reason, slot)), None, turn
            if turn > 0:
                await self.clock.sleep(turn)
            moved, judged = await self.buyer.buy(leased, request, known)
        except (asyncio.CancelledError, LedgerError) as error:
            await self._let_go(entry.id, error)
            raise
        if moved.bought:
            self._requests.pop(entry.id, None)
            self.watcher.tell(entry.id)
        if isinstance(judged, Accepted) and moved.task_id is not None:
            self._observe("job_accepted", moved)
            moved = await self._understood_at_once(moved)
        return moved, judged, max(_SHORTEST_WAIT, moved.not_before - ahead - self.clock.time())

    async def _understood_at_once(self, entry: Entry) -> Entry:
        """Read a result that came with its answer, which is committed by now: else its price stays reserved."""
        if entry.plan.kind != "sync":
            return entry
        try:
            return (await self.ask(entry)).entry
        except KieError as error:  # whoever waits for it, or resumes it, reads it again
            log.warning("job %s: its result is read later: %s", entry.id, error)
            return entry

    async def _let_go(self, job_id: str, why: BaseException) -> None:
        """Give a job back whose try ended with *why*, however often the caller is cancelled meanwhile."""
        reason = str(why) if isinstance(why, KieError) else "its caller was cancelled before anything was sent"
        if isinstance(why, OverBudget):
            reason = f"the limit of {why.scope} leaves no room for it at the moment"
        try:
            await uncut(asyncio.ensure_future(self._released(job_id, reason)), lambda *_: None)
        except asyncio.CancelledError:
            if not isinstance(why, asyncio.CancelledError):  # which the caller raises, with its notes
                raise

    async def _released(self, job_id: str, reason: str) -> Entry | None:
        """Give a job back that was not sent: a kept one waits on, another one ends unless others here still try it."""

        def released(one: Entry, now: float) -> Entry:
            # Another process may have taken us for dead meanwhile, and have it: then it is not ours.
            if one.state not in ("leased", "queued") or one.owner not in (None, self.ledger.owner):
                return one
            if one.kept or self._trying.count(job_id) > 1:
                return waiting(one, reason)
            return cancelled(one, reason, now)

        try:
            entry = await self.ledger.get(job_id)
            return entry if entry is None else await self._write(entry, released)
        except LedgerError as error:  # the next look at the job gives it back
            log.warning("job %s: it stays as it is for now: %s", job_id, error)
            return None

    async def submit(self, entry: Entry, seconds: float) -> tuple[Entry, Judged | None]:
        """Buy a job for a caller who waits. **Costs money.**

        Only what Kie refused for now, and what did not leave this machine, is tried again, for *seconds*.

        Returns:
            The job, and what came of its create; None: somebody else had done it.

        Raises:
            OverBudget, LedgerError: Nothing was sent.
        """
        request = self._request_of(entry)
        self._trying.append(entry.id)
        try:
            return await self._submitted(entry, request, self.clock.now() + seconds)
        except BaseException as error:
            await self._let_go(entry.id, error)
            raise
        finally:
            self._trying.remove(entry.id)

    async def _submitted(self, entry: Entry, request: Request, end: float) -> tuple[Entry, Judged | None]:
        refusals, told = 0, ""
        judged: Judged | None = None
        while True:
            left = end - self.clock.now()
            entry, latest, wait = await self._try_or_see(entry, request, left)
            if entry.state not in ("queued", "leased", "submitting"):
                return entry, latest
            if entry.state != "queued" and wait > left:
                return entry, latest  # another process holds it
            judged = latest or judged
            refusals += isinstance(latest, NotSent)
            if refusals >= NOT_SENT_TRIES or wait > end - self.clock.now():
                return await self._released(entry.id, entry.reason or "the wait was over") or entry, judged
            level = logging.WARNING if wait >= _LONG_WAIT else logging.INFO
            why = entry.reason or "its turn has not come"
            log.log(logging.DEBUG if why == told else level, "job %s: waits %.1f s: %s", entry.id, wait, why)
            told = why
            # What holds it back may be opened by a person meanwhile; what was tried waits as long as it has to.
            await self.clock.sleep(min(wait, HELD_SECONDS) if latest is None else wait)

    async def _try_or_see(self, entry: Entry, request: Request, left: float) -> tuple[Entry, Judged | None, float]:
        if entry.state == "queued":
            try:
                return await self._try(entry, request, left)
            except Superseded:
                pass
        return await self.ledger.get(entry.id) or entry, None, _SEEN_SECONDS

    # --- reading --------------------------------------------------------------------------

    async def record(self, entry: Entry, task_id: str) -> dict[str, Any]:
        """Return Kie's record of a task, as it came.

        Raises:
            ReadFailed, ReadRefused, NoKey: There is none to be had now.
            WrongState: The job belongs to another account, or its result is kept elsewhere.
        """
        self._ours(entry)
        if entry.plan.kind == "sync":
            return self._answer_of(entry)
        return self._record_in(await self._answer(entry.plan, task_id), entry, task_id)

    async def _answer(self, plan: Plan, task_id: str) -> Answer:
        request = reading(plan.kind, plan.query, plan.task_param, task_id)
        return await self.http.ask(request, seconds=self.settings.request_timeout)

    def _record_in(self, answer: Answer, entry: Entry, task_id: str) -> dict[str, Any]:
        try:
            body = answered(answer)
        except (RateLimited, Maintenance) as error:
            self.watcher.hush(error.retry_after or 0.0)
            raise ReadFailed(f"{error.message or 'no message'} (code {error.code})") from error
        except Refused as error:
            raise ReadRefused(entry.handle(task_id), error.code, error.message) from error
        if entry.plan.kind == "task" and task_named(body) not in (None, task_id):
            # An answer too many, on a connection or in front of one: what comes next there is not ours either.
            self.http.distrust()
            raise ReadFailed(f"the record of another task came, {task_named(body)!r}")
        return body

    def _answer_of(self, entry: Entry) -> dict[str, Any]:
        """Return the answer to the create of a ``sync`` job: nobody else has its result, and nobody is asked."""
        spilt = self.buyer.unwritten.get(entry.id)
        text = entry.record if entry.record is not None or spilt is None else spilt.record
        if text is None:
            problem = "its result came with the answer to its create, and is only in the ledger where it was bought"
            raise WrongState(entry.id, entry.state, problem)
        answer: dict[str, Any] = json.loads(text)
        return answer

    async def look(self, entry: Entry) -> Outcome:
        """Ask once what the task of *entry* is.

        Raises:
            RecordMissing, ReadFailed, ReadRefused, PluginFailed, NoKey: It cannot be said now.
        """
        assert entry.task_id is not None
        return self.understood(entry, await self.record(entry, entry.task_id))

    def understood(self, entry: Entry, body: dict[str, Any]) -> Outcome:
        """Say what Kie's record of the task of *entry* means. Raises what `look` raises."""
        try:
            outcome = self.dispatcher.outcome(self.planner.job_of(entry), body)
        except PluginFailed as error:
            raise attrs.evolve(error, handle=entry.handle()) from error.__cause__
        except (ReadFailed, NoKey):
            raise
        except KieError as error:  # what else a hook raises says nothing about this task
            raise PluginFailed(entry.plan.category, "parse_result", str(error), entry.handle()) from error
        if outcome.finished and not can_be_kept(attrs.evolve(entry, outcome=outcome)):
            raise PluginFailed(
                entry.plan.category, "parse_result", "gave an outcome that cannot be kept", entry.handle()
            )
        return outcome

    async def ask(self, entry: Entry, watch: Watch | None = None) -> Step:
        """Ask once and judge the answer; what tells nothing is no error. Who waits by *watch* says when to ask again.

        Raises:
            ReadRefused: The account cannot read.
            PluginFailed: The plugin could not read several answers in a row.
        """
        try:
            seen: Outcome | KieError = await self.look(entry)
        except (RecordMissing, ReadFailed, PluginFailed) as error:
            seen = error
        return await self._weighed(entry, seen, watch)

    async def poll(self, watch: Watch) -> Step | None:
        """Do what `ask` does for a job that is watched; None: it goes on as before. Raises what `ask` raises.

        An answer to the letter as the last one, which said that it still runs, is not even decoded, and needs no
        ledger.
        """
        if watch.news or watch.plan.kind == "sync":
            watch.news = False
            entry = await self._watched(watch)
            if entry.state != "running":
                return Step(entry, entry.outcome, None if entry.ended or entry.state == "unknown" else HELD_SECONDS)
            if entry.plan.kind == "sync":
                return await self.ask(entry, watch)
        answer: Answer | None = None
        try:
            answer = await self._answer(watch.plan, watch.task_id)
            if hash(answer.content) == watch.told and self._is_early(watch):
                return None
            entry = await self._watched(watch)
            seen: Outcome | KieError = self.understood(entry, self._record_in(answer, entry, watch.task_id))
        except (RecordMissing, ReadFailed, PluginFailed) as error:
            seen, entry = error, await self._watched(watch)
        step = await self._weighed(entry, seen, watch)
        runs = isinstance(seen, Outcome) and not seen.finished and step.wait is not None and step.entry == entry
        watch.told = hash(answer.content) if answer is not None and runs else None
        if watch.entry is not None:
            watch.entry = step.entry
        return step

    def _is_early(self, watch: Watch) -> bool:
        return min(self.clock.time(), self._patience()) < watch.submitted_at + watch.plan.seconds

    async def _watched(self, watch: Watch) -> Entry:
        entry = watch.entry or await self.ledger.get(watch.job_id)
        if entry is None:
            raise UnknownJob(watch.job_id, self.ledger.database.place)
        return entry

    async def _weighed(self, entry: Entry, seen: Outcome | KieError, watch: Watch | None) -> Step:
        """Judge what one question gave: an outcome, or why there is none."""
        outcome = seen if isinstance(seen, Outcome) else None
        problem = None if isinstance(seen, Outcome) else seen
        reading: Reading = outcome
        if isinstance(problem, RecordMissing):
            reading = Missing(problem.reason)
        elif isinstance(problem, PluginFailed):
            reading = Unreadable(problem.reason)
        if outcome is not None and outcome.remark is not None:
            self._name(entry, outcome.remark)
        moved = await self.judged(entry, reading)
        if problem is not None:
            log.warning("%s: asking again: %s", entry.handle(), problem)
            if isinstance(problem, PluginFailed) and moved.unreadable >= UNREADABLE_ANSWERS:
                raise problem
        if moved.ended:
            return Step(moved, moved.outcome)
        if outcome is not None:
            outcome = still_running(outcome)
            if outcome.state == "needs_input":  # only a person can go on; asking does not help
                return Step(moved, outcome, problem=outcome.remark or "it waits for a person")
        schedules = () if watch is None else watch.schedules  # of all who wait by now
        wait = self.watcher.wait_for(moved.plan, moved.submitted_at, schedules)
        return Step(moved, outcome, wait, str(problem or ""))

    def _name(self, entry: Entry, remark: str) -> None:
        word = (entry.plan.model, remark[:_LONGEST_WORD])
        if word not in self._told and len(self._told) < _MOST_WORDS:
            self._told.add(word)
            log.warning("%s: %s", entry.handle(), word[1])

    async def judged(self, entry: Entry, reading: Reading) -> Entry:
        """Write down what an answer changes; an answer that changes nothing touches no ledger."""
        patience = self._patience()
        moved = read(entry, reading, self.clock.time(), patience)
        if moved == entry:
            if isinstance(reading, Outcome) and reading.finished and reading.state != entry.state and entry.revision:
                await self.ledger.note(entry, f"Kie now says {reading.state}")
            return entry
        written, ours = await self._move(entry, lambda one, now: read(one, reading, now, patience))
        if written.ended and not entry.ended:
            self.watcher.tell(entry.id)
        if ours:
            self.watcher.learn(entry.state, written)
        if ours and written.ended and written.outcome is not None and written.state != entry.state:
            if written.state == "expired":
                log.error("job %s: %s", entry.id, written.reason)
            self._observe("job_finished", written, outcome=written.outcome)
        return written

    def _observe(self, hook: str, entry: Entry, **more: Any) -> None:
        self.dispatcher.plugins.observe(hook, job=self.planner.job_of(entry), task_id=entry.task_id, **more)

    async def decide(self, entry: Entry, move: Move) -> Entry:
        """Write what a person decided, whatever else happens to the job meanwhile.

        Raises:
            WrongStep: The job does not allow it, or not any more.
            UnknownJob: The ledger does not know it any more.
        """
        while True:
            try:
                return await self.ledger.change(entry, move)
            except Superseded:
                current = await self.ledger.get(entry.id)
                if current is None:
                    raise UnknownJob(entry.id, self.ledger.database.place) from None
                entry = current

    async def _write(self, entry: Entry, move: Move) -> Entry:
        return (await self._move(entry, move))[0]

    async def _move(self, entry: Entry, move: Move) -> tuple[Entry, bool]:
        """Write a step, and tell whether it was ours; if somebody else was first, return what the job became."""
        if not entry.revision:  # known from a handle only, kept nowhere
            return move(entry, self.clock.time()), True
        for _ in range(10):
            try:
                moved = await self.ledger.change(entry, move)
            except Superseded:
                entry = await self.ledger.get(entry.id) or entry
            except WrongStep:
                return entry, False
            else:
                return moved, moved != entry
        raise LedgerError(self.ledger.database.place, f"job {entry.id} changes all the time", "try again", "busy")

    async def follow(
        self, entry: Entry, seconds: float, *, at_once: bool, schedule: Schedule | Pace | None = None
    ) -> AsyncIterator[Step]:
        """Ask until the job ends; yield every step whose outcome differs from the one before.

        Raises:
            WaitTimeout: The time is up; the task goes on.
            SubmitUnknown: It is unknown whether there is a task.
            ReadRefused, PluginFailed: As for `ask`.
            LedgerError: What Kie said could not be written down; the task goes on.
            ClientClosed: The client was closed meanwhile; the task goes on.
        """
        if entry.may_return:  # nobody asks about it any more: Kie may have made it all the same
            entry = (await self.ask(entry)).entry
        if entry.ended:
            yield Step(entry, entry.outcome)
            return
        handle, last, problem = self._ours(entry).handle(), None, "unanswered"
        if entry.state == "unknown":
            raise SubmitUnknown(handle, entry.reason)
        first = 0.0 if at_once or entry.plan.kind == "sync" else None
        async with contextlib.aclosing(self.watcher.steps(entry, seconds, first, schedule)) as steps:
            async for step in steps:
                if step.entry.state == "unknown":
                    raise SubmitUnknown(handle, step.entry.reason)
                if step.problem:
                    problem = f"unanswered ({step.problem})"
                if step.entry.ended or (step.outcome is not None and step.outcome != last):
                    last = step.outcome
                    yield step
                if step.wait is None:
                    return
        raise WaitTimeout(handle, seconds, last.state if last is not None else problem)

    # --- callbacks and recovery -----------------------------------------------------------

    async def look_into_callbacks(self, job_id: str | None = None) -> None:
        """Look into the callbacks that wait, of one job or of all, and take up again what may simply be asked again."""
        for lost in await self._askable(job_id):
            await adopt(self.ledger, lost, lost.plan.asks, "its call is asked again")
        for callback in await self.ledger.callbacks(self.account, job_id):
            entry = await self.ledger.get(callback.job_id)
            if entry is None or (entry.state == "submitting" and callback.digest != HINT):
                continue  # its own answer is on the way, and names the task
            try:
                await self._look_into(entry, callback)
            except (ReadFailed, ReadRefused, PluginFailed, NoKey) as error:
                log.warning("job %s: a callback is looked into later: %s", callback.job_id, error)

    async def _askable(self, job_id: str | None) -> list[Entry]:
        """Return the ``derived`` jobs that were sent, and of whose answer nobody knows."""
        if job_id is None:
            found = await self.ledger.find("unknown", account=self.account)
        else:
            one = await self.ledger.get(job_id)
            found = [] if one is None else [one]
        return [entry for entry in found if entry.state == "unknown" and entry.plan.kind == "derived"]

    async def is_ours(self, entry: Entry, task_id: str, *, hinted: bool) -> bool:
        """Tell whether a task was made by this job, by Kie's own record of it. Free.

        Args:
            entry: The job.
            task_id: Of the task that somebody says is the job's.
            hinted: A record that does not tell whose it is suffices: the id stood in the answer to this very
                create, or a person read it in Kie's logs.

        Raises:
            ReadFailed, ReadRefused: It cannot be told now.
        """
        body = await self.record(entry, task_id)
        record(body)
        ours = proves(entry, body, self.planner.marks_of(entry))
        if ours is None and not hinted:
            raise ReadFailed(f"the record of task {task_id} does not tell whose it is")
        return ours is not False

    async def _look_into(self, entry: Entry, callback: Callback) -> None:
        note = ""
        if entry.task_id is None:
            if await self.is_ours(entry, callback.task_id, hinted=callback.digest == HINT):
                entry = await adopt(self.ledger, entry, callback.task_id, "a callback named its task")
                if entry.task_id == callback.task_id:
                    self._observe("job_accepted", entry)
                elif entry.task_id is None:
                    note = f"a callback named task {callback.task_id}, which another job has"
            else:
                note = f"a callback named task {callback.task_id}, whose record is not of this job"
        elif entry.task_id != callback.task_id:
            note = f"a callback named a second task: {callback.task_id}"
        if note:
            log.critical("job %s: %s", entry.id, note)
        if entry.task_id == callback.task_id:
            await self.ask(entry)
        await self.ledger.handled(self.account, callback, note)
        self.watcher.tell(entry.id)

    async def take_over(self) -> None:
        """Give a sign of life, take over from dead processes, and read what they could not write."""
        await self.ledger.beat()
        await self.buyer.write_again()
        if self.stem is None:
            return
        for path, spilt in left_behind(self.stem):
            strangers = False
            for one in spilt:
                entry = await self.ledger.get(one.job_id)
                if entry is None:
                    strangers = True
                    if one.job_id not in self._strangers:
                        self._strangers.add(one.job_id)
                        problem = "job %s, which the ledger does not know, is task %s: %s"
                        log.critical(problem, one.job_id, one.task_id, path)
                elif entry.task_id != one.task_id:
                    log.warning("job %s: its task id was in %s", one.job_id, path.name)
                    await adopt(self.ledger, entry, one.task_id, "from the spill file", record=one.record)
            if not strangers and path.name.rpartition("-")[2] not in await self.ledger.living():
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)

    # --- saving ---------------------------------------------------------------------------

    async def save(self, entry: Entry, folder: Path) -> tuple[Entry, list[Path]]:
        """Save the results of a job that succeeded, and write down where they lie. Free.

        Raises:
            SaveFailed: Some could not be saved, or Kie names none yet; what was saved is written down.
        """
        from kie_core._files import save_all

        if entry.outcome is None or not entry.outcome.artifacts:
            entry = (await self.ask(entry)).entry
        if entry.outcome is None or not entry.outcome.artifacts:
            problem = "Kie says that the task succeeded, but names no result yet"
            raise SaveFailed(entry.handle(), "the result", problem)
        shown = entry

        async def fresh() -> Sequence[Artifact]:
            return (await self.look(shown)).artifacts

        try:
            files = await save_all(
                entry.outcome.artifacts, handle=entry.handle(), job=self.planner.job_of(entry), folder=folder,
                client=self.http.files(self.settings.request_timeout), fresh=fresh, known=entry.saved,
                now=self.clock.time(),
            )  # fmt: skip
        except SaveFailed as error:
            some = [attrs.evolve(file, path=file.path.absolute()) for file in error.saved]
            entry = await self._write(entry, lambda one, _: saved(one, some))
            if error.expired:
                await self._write(entry, lambda one, _: faded(one))
            raise
        placed = [attrs.evolve(file, path=file.path.absolute()) for file in files]
        return await self._write(entry, lambda one, _: saved(one, placed)), [file.path for file in files]
