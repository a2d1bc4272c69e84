"""When to ask, how long to wait, and the clock that both go by."""

from __future__ import annotations

import asyncio
import time
from typing import Final

import attrs

from kie_core._models.model import Media

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


def wait_seconds(said: float | None, setting: float | None, media: Media) -> float:
    """Return how long a wait lasts: as *said* by the caller, else as set, else by the kind of *media*.

    Raises:
        ValueError: It is negative or not a number.
    """
    seconds = said if said is not None else setting
    if seconds is None:
        return WAIT_SECONDS[media]
    if not seconds >= 0:
        raise ValueError(f"wait_timeout is {seconds!r}; expected seconds, 0 or more")
    return seconds


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

    def after(self, elapsed: float, chance: float) -> float:
        """Return the seconds before the next question, *elapsed* seconds after the create; *chance* is 0 to 1."""
        seconds = min(self.longest, self.first + max(0.0, elapsed) * (self.factor - 1))
        return seconds * (1 + self.spread * (2 * chance - 1))


class Clock:
    """The clock that waiting goes by. Tests give another."""

    def now(self) -> float:
        """Return seconds that never go back."""
        return time.monotonic()

    def time(self) -> float:
        """Return seconds since 1970, for what is written down."""
        return time.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
