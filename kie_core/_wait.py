"""Wait for a task: patient with the network, with Kie and with records that are not there yet."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

import attrs

from kie_core._errors import Maintenance, PluginFailed, RateLimited, ReadFailed, RecordMissing, WaitTimeout
from kie_core._model import Media
from kie_core._outcome import Outcome

#: Seconds to wait for a result unless the caller says otherwise.
#: Source: docs.kie.ai/market/common/get-task-detail, read 2026-10-01, says to give up after 10-15 minutes;
#: the longest success that was recorded took 785 s.
WAIT_SECONDS: Final[dict[Media, float]] = {"image": 900.0, "audio": 900.0, "video": 1800.0, "text": 900.0, "data": 900.0}
#: Kie may not know a task for a while after it made it.
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
    read: Callable[[], Awaitable[Outcome]], *, handle: str, seconds: float, schedule: Schedule, clock: Clock
) -> AsyncIterator[Outcome]:
    """Ask until the task ends; yield every outcome that differs from the one before.

    Args:
        read: Asks once. Its `ReadFailed`, `RateLimited` and `Maintenance` are waited out.
        handle: For the time-out.
        seconds: How long to wait in all.
        schedule: When to ask.
        clock: The clock to go by.

    Raises:
        WaitTimeout: The time is up; the task goes on.
        Unauthorized, OutOfCredits: The account cannot read; the task goes on.
        PluginFailed: The plugin cannot read the answers.
    """
    started = clock.now()
    last: Outcome | None = None
    doubt = "unanswered"
    resultless_since: float | None = None
    unreadable = 0
    asked = 0
    while True:
        left = started + seconds - clock.now()
        if left <= 0:
            raise WaitTimeout(handle, seconds, last.state if last is not None else doubt)
        await clock.sleep(min(schedule.delay(asked, random.random()), left))
        asked += 1
        try:
            outcome = await read()
        except RecordMissing as error:
            if clock.now() - started < INVISIBLE_SECONDS:
                log.debug("%s: not visible yet: %s", handle, error)
                continue
            outcome = Outcome("expired", remark=f"Kie does not know the task: {error.reason}")
        except (ReadFailed, RateLimited, Maintenance) as error:
            log.warning("%s: asking again: %s", handle, error)
            doubt = str(error)
            continue
        except PluginFailed as error:
            unreadable += 1
            if unreadable >= UNREADABLE_ANSWERS:
                raise
            log.warning("%s: asking again: %s", handle, error)
            continue
        unreadable = 0
        if outcome.state == "succeeded" and not outcome.artifacts:
            resultless_since = clock.now() if resultless_since is None else resultless_since
            if clock.now() - resultless_since < RESULTLESS_SECONDS:
                outcome = attrs.evolve(outcome, state="running", remark="succeeded, but its result is not named yet")
        if outcome != last:
            if outcome.remark is not None and (last is None or last.remark != outcome.remark):
                log.warning("%s: %s", handle, outcome.remark)
            last = outcome
            yield outcome
        if outcome.finished or outcome.state == "needs_input":
            return
