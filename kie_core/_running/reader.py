"""Ask about jobs, understand the answers, and write down what they change. Buys nothing."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

import attrs

from kie_core._dispatch.dispatcher import reading
from kie_core._errors import (
    KieError,
    Maintenance,
    NoKey,
    PluginFailed,
    RateLimited,
    ReadFailed,
    ReadRefused,
    RecordMissing,
    Refused,
    SubmitUnknown,
    UnknownJob,
    WaitTimeout,
    WrongState,
)
from kie_core._jobs.answer import Answer, task_named
from kie_core._jobs.outcome import Outcome
from kie_core._ledger.entry import UNREADABLE_ANSWERS, Entry, Missing, Plan, Reading, Unreadable, read
from kie_core._ledger.ledger import Ledger
from kie_core._ledger.rows import can_be_kept
from kie_core._ledger.spill import Spilt
from kie_core._network.http import Http
from kie_core._network.question import answered
from kie_core._pace import Pace
from kie_core._running.plan import Planner
from kie_core._running.step import HELD_SECONDS, Step, still_running, written
from kie_core._running.watch import Watch, Watcher
from kie_core._wait import Clock, Schedule

log = logging.getLogger("kie_core")

#: Letters of a word of Kie's that the log shows, and words in all.
_LONGEST_WORD: Final = 200
_MOST_WORDS: Final = 1000


@attrs.define
class Reader:
    """Asks about the jobs of one account, and writes down what changes.

    Attributes:
        planner: What a job is made of.
        ledger: Where the jobs are.
        http: The network.
        schedule, clock: The client's.
        unwritten: Answers that the ledger has not taken yet, by job.
        watcher: Who waits for which job.
    """

    planner: Planner
    ledger: Ledger
    http: Http
    schedule: Schedule | Pace
    clock: Clock
    unwritten: Mapping[str, Spilt]
    watcher: Watcher = attrs.field(init=False)
    #: Words of Kie's that no page knows, each told once: of which model, and which word.
    _told: set[tuple[str, str]] = attrs.field(factory=set)
    _began: tuple[float, float] = attrs.field(init=False)

    @watcher.default
    def _watcher(self) -> Watcher:
        return Watcher(self.poll, self.clock, self.schedule, self.planner.settings.polls_per_second)

    @_began.default
    def _now(self) -> tuple[float, float]:
        return self.clock.time(), self.clock.now()

    def _patience(self) -> float:
        """Return the time by which patience with Kie ends: that of the start, and what passed since by a clock that
        nobody sets, and that stands still while the machine sleeps.
        """
        wall, steady = self._began
        return wall + self.clock.now() - steady

    async def record(self, entry: Entry, task_id: str) -> dict[str, Any]:
        """Return Kie's record of a task, as it came.

        Raises:
            ReadFailed, ReadRefused, NoKey: There is none to be had now.
            WrongState: The job belongs to another account, or its result is kept elsewhere.
        """
        self.planner.ours(entry)
        if entry.plan.kind == "sync":
            return self._answer_of(entry)
        return self._record_in(await self._answer(entry.plan, task_id), entry, task_id)

    async def _answer(self, plan: Plan, task_id: str) -> Answer:
        request = reading(plan.kind, plan.query, plan.task_param, task_id)
        return await self.http.ask(request, seconds=self.planner.settings.request_timeout)

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
        spilt = self.unwritten.get(entry.id)
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
            outcome = self.planner.dispatcher.outcome(self.planner.job_of(entry), body)
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
        stands, ours = await written(self.ledger, self.clock, entry, lambda one, now: read(one, reading, now, patience))
        if stands.ended and not entry.ended:
            self.watcher.tell(entry.id)
        if ours:
            self.watcher.learn(entry.state, stands)
        if ours and stands.ended and stands.outcome is not None and stands.state != entry.state:
            if stands.state == "expired":
                log.error("job %s: %s", entry.id, stands.reason)
            self.observe("job_finished", stands, outcome=stands.outcome)
        return stands

    def observe(self, hook: str, entry: Entry, **more: Any) -> None:
        self.planner.dispatcher.plugins.observe(hook, job=self.planner.job_of(entry), task_id=entry.task_id, **more)

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
        handle, last, problem = self.planner.ours(entry).handle(), None, "unanswered"
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
