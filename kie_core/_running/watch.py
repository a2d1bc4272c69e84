"""Who waits for which job: all that wait for one job hear of the same questions, and none of them has a task."""

from __future__ import annotations

import asyncio
import math
import random
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection
from typing import TYPE_CHECKING, Final, Protocol

import attrs

from kie_core._errors import ClientClosed
from kie_core._jobs.job import Handle
from kie_core._ledger.durations import Durations, Key, curve_of, key_of, taken
from kie_core._ledger.entry import Entry, Plan
from kie_core._pace import CALLED, CROWDED, Pace
from kie_core._running.scheduler import Scheduler
from kie_core._wait import Clock, Schedule

if TYPE_CHECKING:
    from kie_core._running.step import Step

#: With more jobs than this a question costs more than it gains.
_CROWD: Final = 1000


class Member(Protocol):
    """One who waits, for whatever. Its calls return at once, and raise nothing."""

    def failed(self, error: Exception) -> None:
        """Hear that nobody asks any more, because of *error*."""


class Listener(Member, Protocol):
    """One who waits for a job."""

    #: When to ask; None: as the client does.
    @property
    def schedule(self) -> Schedule | Pace | None: ...

    def heard(self, step: Step) -> None:
        """Hear what a question gave; the last time, when ``step.wait`` is None."""


@attrs.define(eq=False, weakref_slot=False)
class Watch:
    """A job that is waited for: as little as a question needs, since there may be very many.

    Attributes:
        entry: The job, where no ledger has it.
        told: Hash of the last answer, if that said that it still runs, and nothing else is to be made of it.
        news: Something happened to it that the ledger knows.
    """

    watcher: Watcher
    job_id: str
    task_id: str
    plan: Plan
    submitted_at: float
    entry: Entry | None = None
    listeners: tuple[Listener, ...] = ()
    due: float | None = None
    told: int | None = None
    news: bool = False

    @property
    def schedules(self) -> Collection[Schedule | Pace | None]:
        """When those ask who wait: each different one once."""
        return {listener.schedule for listener in self.listeners}

    @property
    def handle(self) -> str:
        """What resumes it anywhere."""
        return Handle(self.job_id, self.plan.model, self.plan.wire, self.task_id).text

    async def step(self) -> float | None:
        return await self.watcher.looked(self)


@attrs.define(eq=False)
class _Follower:
    """Hears of a job for one who waits. Is itself due when the time is up."""

    schedule: Schedule | Pace | None
    due: float | None = None
    _heard: deque[Step | Exception | None] = attrs.field(factory=deque)
    _news: asyncio.Event = attrs.field(factory=asyncio.Event)

    def heard(self, step: Step) -> None:
        self._hear(step)

    def failed(self, error: Exception) -> None:
        self._hear(error)

    async def step(self) -> None:
        """The time is up."""
        self._hear(None)

    async def next(self) -> Step | None:
        """Wait for the next step; None: the time is up. Raises what ended the questions."""
        await self._news.wait()
        heard = self._heard.popleft()
        if not self._heard:
            self._news.clear()
        if isinstance(heard, Exception):
            raise heard
        return heard

    def _hear(self, heard: Step | Exception | None) -> None:
        self._heard.append(heard)
        self._news.set()


class Watcher:
    """Asks about the jobs of one client that are waited for.

    Args:
        ask: Asks about a job; None: it goes on as before.
        clock: The clock to go by.
        pace: When to ask.
        per_second: How many questions a second, for all jobs together.

    Attributes:
        scheduler: Does what is due.
        members: Who is to hear when the client is closed, beside those who wait for one job.
        durations: How long jobs took.
        called: Kie calls us when a job has ended.
    """

    def __init__(
        self,
        ask: Callable[[Watch], Awaitable[Step | None]],
        clock: Clock,
        pace: Schedule | Pace,
        per_second: float,
    ) -> None:
        self.scheduler = Scheduler(clock)
        self.members: set[Member] = set()
        self.durations: dict[Key, Durations] = {}
        self.called = False
        self._ask = ask
        self._clock = clock
        self._pace = pace
        self._per_second = per_second
        self._watches: dict[str, Watch] = {}
        self._quiet_until = 0.0
        self._closed: RuntimeError | None = None

    def watch(self, entry: Entry, listener: Listener, seconds: float) -> Watch:
        """Ask about a running job from now on, first in so many *seconds*, for one more who waits for it.

        Raises:
            ClientClosed: The client was closed.
        """
        if self._closed is not None:
            raise ClientClosed(entry.handle())
        assert entry.task_id is not None
        watch = self._watches.get(entry.id)
        sooner = watch is None or seconds <= 0
        if watch is None:
            began = self._clock.time() if entry.submitted_at is None else entry.submitted_at
            kept = None if entry.revision else entry
            watch = self._watches[entry.id] = Watch(self, entry.id, entry.task_id, entry.plan, began, kept)
        watch.listeners = (*watch.listeners, listener)
        watch.told = None  # who is new here has heard nothing yet
        if sooner or (watch.due is not None and self._clock.now() + seconds < watch.due):
            self.scheduler.plan(watch, seconds)
        return watch

    def admit(self, member: Member) -> None:
        """Let *member* hear when the client is closed. Raises `RuntimeError` where it is already."""
        if self._closed is not None:
            raise self._closed
        self.members.add(member)

    async def steps(
        self, entry: Entry, seconds: float, first: float | None, schedule: Schedule | Pace | None
    ) -> AsyncGenerator[Step]:
        """Yield what is heard of a job, until there is no more to hear, or the time is up. Raises what ended it.

        Args:
            entry: The job.
            seconds: How long, in all.
            first: Seconds before the first question; None: as for the others.
            schedule: When to ask; None: as the client does.
        """
        if seconds <= 0:
            return
        follower = _Follower(schedule)
        wait = self.wait_for(entry.plan, entry.submitted_at, (schedule,)) if first is None else first
        watch = self.watch(entry, follower, wait)
        if seconds < math.inf:
            self.scheduler.plan(follower, seconds, exactly=True)
        try:
            while (step := await follower.next()) is not None:
                yield step
        finally:
            self.scheduler.call_off(follower)
            self.leave(watch, follower)

    def leave(self, watch: Watch, listener: Listener) -> None:
        """Wait no longer; with the last who waits the questions end."""
        watch.listeners = tuple(one for one in watch.listeners if one is not listener)
        if not watch.listeners:
            self._forget(watch)

    def tell(self, job_id: str) -> None:
        """Have those who wait for a job look into the ledger."""
        watch = self._watches.get(job_id)
        if watch is not None:
            watch.news = True
            self.scheduler.plan(watch, 0.0)

    def answers(self, watch: Watch) -> bool:
        """Tell whether a question is on its way of which all who wait will hear, whatever is answered."""
        return watch.told is None and self.scheduler.does(watch)

    async def looked(self, watch: Watch) -> float | None:
        """Ask about a job, tell those who wait for it, and return the seconds until the next question."""
        quiet = self.quiet()
        if quiet > 0 and not watch.news:
            return quiet
        try:
            step = await self._ask(watch)
        except Exception as error:  # of whatever kind: those who wait for this job raise it
            self._forget(watch)
            for listener in watch.listeners:
                listener.failed(error)
            return None
        if step is None:
            return self.wait_for(watch.plan, watch.submitted_at, watch.schedules)
        if step.wait is None:
            self._forget(watch)
        for listener in watch.listeners:
            listener.heard(step)
        return step.wait

    def wait_for(
        self, plan: Plan, submitted_at: float | None, schedules: Collection[Schedule | Pace | None] = ()
    ) -> float:
        """Return the seconds before the next question about a job: by the soonest of *schedules*, else the client's."""
        elapsed = 0.0 if submitted_at is None else self._clock.time() - submitted_at
        chance = random.random()
        wait = min(self._after(one or self._pace, plan, elapsed, chance) for one in schedules or (None,))
        return max(wait, len(self._watches) / self._per_second, self._quiet_until - self._clock.now())

    def _after(self, pace: Schedule | Pace, plan: Plan, elapsed: float, chance: float) -> float:
        if isinstance(pace, Schedule):
            return pace.after(elapsed, chance)
        return curve_of(plan, self.durations).after(elapsed, chance, self._worth(pace))

    def _worth(self, pace: Pace) -> float:
        if self.called:
            return max(pace.worth, CALLED)
        return pace.worth if len(self._watches) <= _CROWD else max(pace.worth, CROWDED)

    def remaining(self, plan: Plan, submitted_at: float) -> float | None:
        """Return the seconds in which half of the jobs end that were sent then; None: nobody goes by that here."""
        if isinstance(self._pace, Schedule):
            return None
        return curve_of(plan, self.durations).remaining(self._clock.time() - submitted_at)

    def learn(self, was: str, entry: Entry) -> None:
        """Take in how long a job took that has just succeeded."""
        seconds = taken(was, entry)
        if seconds is not None:
            key = key_of(entry.plan)
            self.durations[key] = self.durations.get(key, Durations()).learned(seconds)

    def hush(self, seconds: float) -> None:
        """Ask nothing for so long: Kie said so."""
        self._quiet_until = max(self._quiet_until, self._clock.now() + seconds)

    def quiet(self) -> float:
        """Return the seconds in which to ask nothing, with a share of its own for each who asks; 0: there are none."""
        left = self._quiet_until - self._clock.now()
        return left + random.random() * len(self._watches) / self._per_second if left > 0 else 0.0

    async def close(self) -> None:
        """Ask nothing any more; those who still wait raise that."""
        message = "the client was closed; what Kie took goes on and is paid: kie resume"
        self._closed = RuntimeError(message)
        for member in tuple(self.members):
            member.failed(RuntimeError(message))
        for watch in tuple(self._watches.values()):
            self._forget(watch)
            for listener in watch.listeners:
                listener.failed(ClientClosed(watch.handle))
        await self.scheduler.close()

    def _forget(self, watch: Watch) -> None:
        if self._watches.get(watch.job_id) is watch:
            del self._watches[watch.job_id]
        self.scheduler.call_off(watch)
