"""Wait for a task: patient with the network, with Kie and with records that are not there yet."""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

import attrs

from kie_core._errors import PluginFailed, ReadFailed, RecordMissing, WaitTimeout
from kie_core._model import Media
from kie_core._outcome import Outcome

#: Seconds to wait for a result unless the caller says otherwise.
#: Source: docs.kie.ai/market/common/get-task-detail, read 2026-10-01, says to give up after 10-15 minutes;
#: the longest success that was recorded took 785 s.
WAIT_SECONDS: Final[dict[Media, float]] = {
    "image": 900.0,
    "audio": 900.0,
    "video": 1800.0,
    "text": 900.0,
    "data": 900.0,
}
#: Kie may not know a task for a while after it made it, or lose sight of it; longer than this in a row, and it is gone.
INVISIBLE_SECONDS: Final = 90.0
#: A task that succeeded without naming its result is asked again for this long.
RESULTLESS_SECONDS: Final = 60.0
#: A plugin that cannot read this many answers in a row is broken, not unlucky.
UNREADABLE_ANSWERS: Final = 5

log = logging.getLogger("kie_core")


@attrs.frozen
class Schedule:
    """When to ask: after ``first`` seconds, then ``factor`` times later each time, at most ``longest`` seconds apart.

    Source: docs.kie.ai/market/common/get-task-detail, read 2026-10-01: begin with 2-3 seconds and grow.

    Attributes:
        first: Seconds before the first question.
        factor: Growth from one question to the next.
        longest: Seconds between two questions at the most.
        spread: Random share, so that many jobs do not ask together.
    """

    first: float = 2.0
    factor: float = 1.25
    longest: float = 15.0
    spread: float = 0.1

    def delay(self, asked: int, chance: float) -> float:
        """Return the seconds before the next question, after *asked* ones; *chance* is 0 to 1."""
        seconds = min(self.longest, self.first * self.factor ** min(asked, 100))
        return seconds * (1 + self.spread * (2 * chance - 1))


class Clock:
    """The clock that waiting goes by. Tests give another."""

    def now(self) -> float:
        """Return seconds that never go back."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


async def follow(
    read: Callable[[], Awaitable[Outcome]],
    *,
    handle: str,
    seconds: float,
    schedule: Schedule,
    clock: Clock,
    at_once: bool = False,
) -> AsyncIterator[Outcome]:
    """Ask until the task ends; yield every outcome that differs from the one before.

    Args:
        read: Asks once. Its `ReadFailed` is waited out.
        handle: For messages and the time-out.
        seconds: How long to wait in all.
        schedule: When to ask.
        clock: The clock to go by.
        at_once: Ask first and wait then: for a task that may have ended long ago.

    Raises:
        WaitTimeout: The time is up; the task goes on.
        ReadRefused: The account cannot read; the task goes on.
        PluginFailed: The plugin cannot read the answers.
    """
    started = clock.now()
    patience = _Patience(read, handle, clock)
    last: Outcome | None = None
    for asked in itertools.count():
        left = started + seconds - clock.now()
        if left <= 0:
            raise WaitTimeout(handle, seconds, last.state if last is not None else patience.doubt)
        if asked or not at_once:
            await clock.sleep(min(schedule.delay(asked, random.random()), left))
        outcome = await patience.ask()
        if outcome is None or outcome == last:
            continue
        if outcome.remark is not None and (last is None or last.remark != outcome.remark):
            log.warning("%s: %s", handle, outcome.remark)
        last = outcome
        yield outcome
        if outcome.finished or outcome.state == "needs_input":
            return


class _Patience:
    """Asks, and decides what a question without a clear answer means."""

    def __init__(self, read: Callable[[], Awaitable[Outcome]], handle: str, clock: Clock) -> None:
        self._read = read
        self._handle = handle
        self._clock = clock
        self._missing_since: float | None = None
        self._resultless_since: float | None = None
        self._unreadable = 0
        #: Why there is no outcome yet.
        self.doubt = "unanswered"

    async def ask(self) -> Outcome | None:
        """Return what the task is, or None where that answer does not tell."""
        try:
            outcome = await self._read()
        except RecordMissing as error:
            now = self._clock.now()
            if self._missing_since is None:
                self._missing_since = now
            if now - self._missing_since >= INVISIBLE_SECONDS:
                return Outcome("expired", remark=f"Kie does not know the task: {error.reason}")
            self._none_yet(error)
            return None
        except ReadFailed as error:
            self._missing_since = None
            self._none_yet(error)
            return None
        except PluginFailed as error:
            self._unreadable += 1
            if self._unreadable >= UNREADABLE_ANSWERS:
                raise
            self._none_yet(error)
            return None
        self._unreadable = 0
        self._missing_since = None
        if outcome.state == "succeeded" and not outcome.artifacts:
            return self._resultless(outcome)
        return outcome

    def _none_yet(self, error: Exception) -> None:
        self.doubt = f"unanswered ({error})"
        log.warning("%s: asking again: %s", self._handle, error)

    def _resultless(self, outcome: Outcome) -> Outcome:
        now = self._clock.now()
        if self._resultless_since is None:
            self._resultless_since = now
        if now - self._resultless_since >= RESULTLESS_SECONDS:
            return outcome
        return attrs.evolve(outcome, state="running", remark="succeeded, but its result is not named yet")
