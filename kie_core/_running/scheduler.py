"""What is due, and when: one heap for all that waits, and a crew that does it. What waits has no task of its own."""

from __future__ import annotations

import asyncio
import heapq
import logging
import math
from collections.abc import Collection
from typing import Final, Protocol

from kie_core._wait import Clock

log = logging.getLogger("kie_core")

#: How many works are done at once.
CREW: Final = 64
#: Seconds. What is due within one tick is done together: the process wakes once for all of it.
TICK: Final = 0.05


class Work(Protocol):
    """Something to be done at a time, perhaps again and again."""

    #: When, by the scheduler's clock; None: it is not planned, or is being done.
    due: float | None

    async def step(self) -> float | None:
        """Do it once, and return the seconds until it is due again; None: never. Raises nothing but a cancellation."""


class Scheduler:
    """Does works when they are due, each only once at a time. What is due together begins in the order of planning.

    Its crew grows with what is due together, and is gone when nothing is planned. Bound to the event loop in which
    something is first planned.

    Args:
        clock: Tells the time, and sleeps.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heap: list[tuple[float, int, Work]] = []
        self._planned = self._void = 0
        self._crew: set[asyncio.Task[None]] = set()
        self._doing: dict[Work, asyncio.Task[None]] = {}
        self._again: set[Work] = set()
        self._called_off: set[Work] = set()
        self._ended: dict[Work, asyncio.Event] = {}
        self._lookout = asyncio.Lock()
        self._changed: asyncio.Event | None = None

    def plan(self, work: Work, seconds: float, *, exactly: bool = False) -> None:
        """Have *work* done in so many seconds, at the nearest tick, whatever was planned for it before.

        What is being done just now is done once more right after. ``math.inf`` is never, until it is planned anew.
        """
        if work in self._doing:
            self._called_off.discard(work)
            self._again.add(work)
            return
        due = self._clock.now() + max(0.0, seconds)
        if not exactly and 0 < seconds < math.inf:
            due = (math.ceil if seconds < TICK else round)(due / TICK) * TICK  # what is to wait a little, waits
        if work.due != due:
            self._forget(work)
            work.due = due
            self._planned += 1
            heapq.heappush(self._heap, (due, self._planned, work))
            if self._changed is not None and self._heap[0][2] is work:
                self._changed.set()
        self._enlist()

    def call_off(self, work: Work) -> None:
        """Do *work* no more. What is being done just now is done to its end."""
        self._forget(work)
        self._again.discard(work)
        if work in self._doing:
            self._called_off.add(work)

    def does(self, work: Work) -> bool:
        """Tell whether *work* is being done just now, and is wanted."""
        return work in self._doing and work not in self._called_off

    async def stop(self, works: Collection[Work]) -> None:
        """Do *works* no more: those that are being done are cancelled, and their ends awaited."""
        ends = []
        for work in works:
            self.call_off(work)
            if work in self._doing:
                self._doing[work].cancel()
                ends.append(self._ended.setdefault(work, asyncio.Event()))
        for end in ends:
            await end.wait()

    async def close(self) -> None:
        """Do nothing any more: what is being done is cancelled, and its end awaited."""
        self._heap.clear()
        await self.stop(tuple(self._doing))
        for member in self._crew:
            member.cancel()
        await asyncio.gather(*self._crew, return_exceptions=True)

    def _forget(self, work: Work) -> None:
        """Make a plan void. It stays in the heap, as long as not most of that is void."""
        if work.due is None:
            return
        work.due = None
        self._void += 1
        if 2 * self._void > len(self._heap):
            self._heap = [planned for planned in self._heap if planned[2].due == planned[0]]
            heapq.heapify(self._heap)
            self._void = 0
            if self._changed is not None:
                self._changed.set()

    def _enlist(self) -> None:
        """See to it that somebody looks out for what is due next."""
        if self._heap and len(self._doing) == len(self._crew) < CREW:
            self._crew.add(asyncio.create_task(self._served()))

    async def _served(self) -> None:
        member = asyncio.current_task()
        assert member is not None
        try:
            while (work := await self._next()) is not None:
                self._doing[work] = member
                self._enlist()
                await self._done(work, member)
        finally:
            self._crew.discard(member)

    async def _done(self, work: Work, member: asyncio.Task[None]) -> None:
        seconds: float | None = None
        try:
            seconds = await work.step()
        except asyncio.CancelledError:
            if work not in self._called_off:
                raise
            while member.cancelling():
                member.uncancel()
        except Exception:  # a work that breaks its word must not take the others with it
            log.exception("a step failed, and is not repeated")
        finally:
            del self._doing[work]
            again, called_off = work in self._again, work in self._called_off
            self._again.discard(work)
            self._called_off.discard(work)
            if work in self._ended:
                self._ended.pop(work).set()
        if again:
            self.plan(work, 0.0)
        elif seconds is not None and not called_off:
            self.plan(work, seconds)

    async def _next(self) -> Work | None:
        """Wait until something is due, and return it; None: nothing is planned. One of the crew looks at the clock."""
        async with self._lookout:
            while self._heap:
                due, _, work = self._heap[0]
                wait = due - self._clock.now()
                if work.due != due:  # void
                    heapq.heappop(self._heap)
                    self._void -= 1
                elif wait <= 0:
                    heapq.heappop(self._heap)
                    work.due = None
                    return work
                else:
                    await self._slept(wait)
        return None

    async def _slept(self, seconds: float) -> None:
        """Sleep until the time has passed, or something else is due next."""
        self._changed = asyncio.Event()
        sleeping = asyncio.ensure_future(self._clock.sleep(seconds))
        hearing = asyncio.ensure_future(self._changed.wait())
        try:
            await asyncio.wait({sleeping, hearing}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._changed = None
            sleeping.cancel()
            hearing.cancel()
            await asyncio.gather(sleeping, hearing, return_exceptions=True)
