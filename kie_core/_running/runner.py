"""Drive jobs, one step at a time: submit, ask, save. Which step it is, and whose turn, is decided here."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import attrs

from kie_core._budget import Budget
from kie_core._config import Settings
from kie_core._dispatch.dispatcher import Dispatcher
from kie_core._errors import KieError, LedgerError, NotSent, OverBudget, SaveFailed, UnknownJob
from kie_core._jobs.answer import Accepted
from kie_core._jobs.job import Request
from kie_core._jobs.outcome import Artifact
from kie_core._ledger.entry import Entry, cancelled, faded, saved, waiting
from kie_core._ledger.gates import GATE_SECONDS
from kie_core._ledger.ledger import Ledger, Move, Superseded
from kie_core._network.http import Http
from kie_core._pace import Pace
from kie_core._running.plan import Planner
from kie_core._running.reader import Reader
from kie_core._running.recovery import Recovery
from kie_core._running.step import HELD_SECONDS, Step, written
from kie_core._running.submit import Buyer, Judged, uncut
from kie_core._wait import Clock, Schedule

log = logging.getLogger("kie_core")

#: A caller who waits gives up after so many creates in a row that did not leave this machine.
NOT_SENT_TRIES: Final = 5
#: So many jobs at once are sent for `advance`, however many are stepped: those that run are asked about meanwhile.
SENDERS: Final = 24
#: Seconds until a job that another process holds is looked at again, where a caller waits for it.
_SEEN_SECONDS: Final = 0.2
#: No job is put back for longer, and no gate stays closed; a time beyond that says that the clock went back.
_LONGEST_WAIT: Final = GATE_SECONDS[1]
#: Seconds between two tries, whatever the ledger says.
_SHORTEST_WAIT: Final = 0.05
#: A caller is told of a wait that is longer.
_LONG_WAIT: Final = 3.0
#: So many jobs at once have their results saved by `advance`: a file host that drips does not hold up the others.
SAVERS: Final = 8


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
        planner: What a job is made of.
        reader: What asks Kie.
        recovery: What takes up callbacks, and what dead processes left.
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
    reader: Reader = attrs.field(init=False)
    recovery: Recovery = attrs.field(init=False)
    _requests: dict[str, Request] = attrs.field(factory=dict)
    #: Jobs that are being sent from here, once for each who tries.
    _trying: list[str] = attrs.field(factory=list)
    _sending: asyncio.Semaphore = attrs.field(factory=lambda: asyncio.Semaphore(SENDERS))
    _saving: asyncio.Semaphore = attrs.field(factory=lambda: asyncio.Semaphore(SAVERS))

    @planner.default
    def _planner(self) -> Planner:
        return Planner(self.account, self.settings, self.dispatcher)

    @reader.default
    def _reader(self) -> Reader:
        return Reader(self.planner, self.ledger, self.http, self.schedule, self.clock, self.buyer.unwritten)

    @recovery.default
    def _recovery(self) -> Recovery:
        return Recovery(self.ledger, self.reader, self.buyer, self.stem)

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
        entry = await self._known(job_id)
        if entry.state == "queued":
            return await self._advance_queued(entry, end)
        return await self._read_on(entry)

    async def read_on(self, job_id: str) -> Step:
        """Do the next step of a job that was sent: ask about it, or save it. Never buys.

        Raises:
            UnknownJob: The ledger does not know it.
            WrongState: It belongs to another account.
            ReadRefused, PluginFailed, SaveFailed: The step failed; the job stays as it was.
        """
        return await self._read_on(await self._known(job_id))

    async def _known(self, job_id: str) -> Entry:
        """Return a job of this account. Raises `UnknownJob` or `WrongState` where it is none."""
        entry = await self.ledger.get(job_id)
        if entry is None:
            raise UnknownJob(job_id, self.ledger.database.place)
        return self.planner.ours(entry)

    async def _read_on(self, entry: Entry) -> Step:
        if entry.state == "queued":
            return Step(entry)
        if entry.state == "leased" and entry.owner == self.ledger.owner and entry.id not in self._trying:
            given_back = await self._released(entry.id, "it was left off before anything was sent") or entry
            return Step(given_back, wait=None if given_back.ended else _SHORTEST_WAIT)
        if entry.state in ("leased", "submitting"):
            return Step(entry, wait=HELD_SECONDS)
        if entry.state in ("unknown", "running"):
            await self.recovery.look_into_callbacks(entry.id)
            entry = await self.ledger.get(entry.id) or entry
        if entry.state == "running":
            return await self._ask_unless_quiet(entry)
        if entry.unsaved and entry.plan.folder is not None:
            if self._saving.locked():
                return Step(entry, entry.outcome, _SEEN_SECONDS)
            async with self._saving:
                entry, _ = await self.save(entry, Path(entry.plan.folder))
        return Step(entry, entry.outcome)

    async def _ask_unless_quiet(self, entry: Entry) -> Step:
        quiet = self.reader.watcher.quiet()
        if quiet > 0 and entry.plan.kind != "sync":  # whose result is here already
            return Step(entry, wait=quiet)
        step = await self.reader.ask(entry)
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
            self.reader.watcher.tell(entry.id)
        if isinstance(judged, Accepted) and moved.task_id is not None:
            self.reader.observe("job_accepted", moved)
            moved = await self._understood_at_once(moved)
        return moved, judged, max(_SHORTEST_WAIT, moved.not_before - ahead - self.clock.time())

    async def _understood_at_once(self, entry: Entry) -> Entry:
        """Read a result that came with its answer, which is committed by now: else its price stays reserved."""
        if entry.plan.kind != "sync":
            return entry
        try:
            return (await self.reader.ask(entry)).entry
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

    async def _write(self, entry: Entry, move: Move) -> Entry:
        return (await written(self.ledger, self.clock, entry, move))[0]

    # --- saving ---------------------------------------------------------------------------

    async def save(self, entry: Entry, folder: Path) -> tuple[Entry, list[Path]]:
        """Save the results of a job that succeeded, and write down where they lie. Free.

        Raises:
            SaveFailed: Some could not be saved, or Kie names none yet; what was saved is written down.
        """
        from kie_core._files.saving import save_all

        if entry.outcome is None or not entry.outcome.artifacts:
            entry = (await self.reader.ask(entry)).entry
        if entry.outcome is None or not entry.outcome.artifacts:
            problem = "Kie says that the task succeeded, but names no result yet"
            raise SaveFailed(entry.handle(), "the result", problem)
        shown = entry

        async def fresh() -> Sequence[Artifact]:
            return (await self.reader.look(shown)).artifacts

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
