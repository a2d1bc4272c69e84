"""Drive many jobs to their end: a step now and then while they wait to be sent, and a watch once they run."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from typing import ClassVar, Final

import attrs

from kie_core._errors import JobFailed, KieError, OverBudget
from kie_core._ledger.entry import Entry
from kie_core._running.scheduler import TICK
from kie_core._running.step import Step
from kie_core._running.submit import uncut
from kie_core._running.watch import Watch, Watcher
from kie_core._wait import Clock

log = logging.getLogger("kie_core")

#: Seconds until a job is looked at again whose step failed.
_FAILED_SECONDS: Final = 30.0
#: The same where a limit left no room: other jobs may end and make some.
_FULL_SECONDS: Final = 5.0
#: So many jobs a second, of those that wait to be sent or saved, are looked at: all together go far more slowly.
_QUEUED_PER_SECOND: Final = 500.0
#: So many jobs are read from the ledger at once, to see which of them run.
_PAGE: Final = 100


async def drive(
    watcher: Watcher,
    advance: Callable[[str], Awaitable[Step]],
    running: Callable[[Sequence[str]], Awaitable[Collection[Entry]]],
    job_ids: Iterable[str],
    clock: Clock,
    *,
    seconds: float,
    per_second: float,
) -> dict[str, KieError]:
    """Step every job until there is nothing more to do with it, nothing goes on but failures, or the time is up.

    Cancelled, it begins nothing new, and creates that are on their way get their answer.

    Args:
        watcher: Asks about those that run.
        advance: One step of a job.
        running: Those of some jobs with which there is nothing to do but to ask about them.
        job_ids: The jobs.
        clock: The clock to go by.
        seconds: How long, in all.
        per_second: How many jobs are begun with in a second.

    Returns:
        The jobs whose last step failed, or of which a person has to go on, with the reason.
    """
    driving = _Drive(watcher, advance, running, clock, clock.now() + seconds)
    jobs = [_Driven(driving, job_id) for job_id in dict.fromkeys(job_ids)]
    try:
        await driving.to_the_end(jobs, min(1 / per_second, seconds / max(1, len(jobs)) / 2))
    finally:
        await uncut(asyncio.ensure_future(driving.left(jobs)), lambda *_: None)
    return driving.faults


@attrs.define(eq=False, weakref_slot=False)
class _Driven:
    """One job that is driven: as little as that needs, since there may be very many."""

    schedule: ClassVar[None] = None
    drive: _Drive
    job_id: str
    due: float | None = None
    watch: Watch | None = None
    busy: bool = False

    async def step(self) -> float | None:
        self.busy = True
        self.drive.busy += 1
        wait: float | None = None
        try:
            wait = self.drive.stepped(self, await self.drive.advance(self.job_id))
        except Exception as error:  # whatever went wrong with one job, the others go on
            wait = self.drive.step_failed(self, error)
        finally:
            self.busy = False
            self.drive.busy -= 1
            self.drive.settle()
        return wait

    def heard(self, step: Step) -> None:
        self._go_on(self.drive.stepped(self, step))

    def failed(self, error: Exception) -> None:
        self.watch = None
        self._go_on(self.drive.step_failed(self, error))

    def _go_on(self, wait: float | None) -> None:
        if wait is not None:
            self.drive.watcher.scheduler.plan(self, wait)
        self.drive.settle()


@attrs.define(eq=False)
class _Drive:
    """What is common to the jobs of one drive. Is itself due when the time is up.

    Attributes:
        open: Those with which there is something to do before that.
        busy: How many of them take a step.
        stuck: Those that failed since the last step of any that did not.
        queued: Those that wait to be sent, or saved.
    """

    watcher: Watcher
    advance: Callable[[str], Awaitable[Step]]
    running: Callable[[Sequence[str]], Awaitable[Collection[Entry]]]
    clock: Clock
    end: float
    due: float | None = None
    faults: dict[str, KieError] = attrs.field(factory=dict)
    #: Not a set, which has up to four times as many places as it needs.
    open: dict[_Driven, None] = attrs.field(factory=dict)
    busy: int = 0
    stuck: set[_Driven] = attrs.field(factory=set)
    queued: set[_Driven] = attrs.field(factory=set)
    over: asyncio.Event = attrs.field(factory=asyncio.Event)
    closed: Exception | None = None

    async def to_the_end(self, jobs: Sequence[_Driven], apart: float) -> None:
        """Begin with the jobs, so many seconds apart, and wait until there is nothing more to do with them."""
        self.watcher.admit(self)
        self.open.update(dict.fromkeys(jobs))
        begun, readable = self.clock.now(), True
        for first in range(0, len(jobs), _PAGE):
            page = jobs[first : first + _PAGE]
            found = await self._found(page) if readable else None
            readable = found is not None  # a ledger that others hold is not waited for once for each page
            if self.closed is not None:
                break
            self._begin(page, found or (), begun + first * apart - self.clock.now(), apart)
        if self.end < math.inf:
            # Not before the first looks, which are spread over half of the time, and each moved to a tick.
            self.watcher.scheduler.plan(self, max(self.end - self.clock.now(), 2 * TICK), exactly=True)
        self.settle()
        await self.over.wait()
        if self.closed is not None:
            raise self.closed

    async def _found(self, jobs: Sequence[_Driven]) -> Collection[Entry] | None:
        """Return those that run; None: it cannot be told now. Then each is stepped, and tells for itself why not."""
        try:
            return await self.running([driven.job_id for driven in jobs])
        except Exception:
            return None

    def _begin(self, jobs: Sequence[_Driven], found: Collection[Entry], wait: float, apart: float) -> None:
        """Begin with some jobs: those that run are asked about, which is less than a step; the others are stepped."""
        running = {entry.id: entry for entry in found}
        for number, driven in enumerate(jobs):
            entry = running.get(driven.job_id)
            if entry is None:
                self.watcher.scheduler.plan(driven, wait + number * apart)
            else:
                self._watch(driven, entry, wait + number * apart)

    def _watch(self, driven: _Driven, entry: Entry, seconds: float) -> None:
        driven.watch = self.watcher.watch(entry, driven, seconds)
        driven.job_id = driven.watch.job_id  # the same text once, not twice

    def failed(self, error: Exception) -> None:
        """The client was closed."""
        self.closed = error
        for driven in tuple(self.open):
            self._close(driven)
        self.over.set()

    async def left(self, jobs: Sequence[_Driven]) -> None:
        """Do nothing more: what is being done is cancelled, and its end awaited."""
        self.watcher.members.discard(self)
        self.watcher.scheduler.call_off(self)
        for driven in jobs:
            self._close(driven)
        await self.watcher.scheduler.stop(jobs)

    async def step(self) -> None:
        """The time is up. A first look that is on its way is waited for: every job is looked at once, at least."""
        self.end = -math.inf
        for driven in [one for one in self.open if not one.busy]:
            if driven.watch is None or not self.watcher.answers(driven.watch):
                self._close(driven)
        self.settle()

    def stepped(self, driven: _Driven, step: Step) -> float | None:
        """Note what a step gave, and return the seconds until the next one, unless that is a question."""
        self.faults.pop(driven.job_id, None)
        self.stuck.clear()
        self.queued.discard(driven)
        wait, entry = step.wait, step.entry
        if step.outcome is not None and step.outcome.state == "needs_input":
            self.faults[driven.job_id] = JobFailed(entry.handle(), "needs_input", None, step.outcome.remark or "")
        if wait is None and driven.watch is not None:
            driven.watch = None
            wait = 0.0 if entry.unsaved and entry.plan.folder is not None else None
        if entry.state in ("queued", "succeeded") and wait is not None:
            self.queued.add(driven)
            wait = max(wait, len(self.queued) / _QUEUED_PER_SECOND)
        if wait is None or self.clock.now() + wait > self.end:
            self._close(driven)
            return None
        if entry.state != "running":
            return wait
        if driven.watch is None:
            self._watch(driven, entry, wait)
        return None

    def step_failed(self, driven: _Driven, error: Exception) -> float | None:
        """Note why a step failed, and return the seconds until the next one."""
        fault = error if isinstance(error, KieError) else KieError(f"{type(error).__name__}: {error}")
        log.warning("job %s: %s", driven.job_id, fault)
        self.faults[driven.job_id] = fault
        self.stuck.add(driven)
        self.queued.discard(driven)
        wait = _FULL_SECONDS if isinstance(error, OverBudget) else _FAILED_SECONDS
        if self.clock.now() + wait > self.end:
            self._close(driven)
            return None
        return wait

    def settle(self) -> None:
        """See whether anything goes on but failures."""
        if not self.busy and self.open.keys() <= self.stuck:
            self.over.set()

    def _close(self, driven: _Driven) -> None:
        self.open.pop(driven, None)
        self.watcher.scheduler.call_off(driven)
        if driven.watch is not None:
            self.watcher.leave(driven.watch, driven)
            driven.watch = None
