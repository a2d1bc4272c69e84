"""When to ask, by how long such jobs take: often while a result is likely to appear, seldom while it is not.

To wait sqrt(2 L / h) seconds between two questions costs the least, if L is the delay in seconds that one question
less is worth, and h the hazard: the chance that a job which still runs ends in the next second.
"""

from __future__ import annotations

import functools
import math
from bisect import bisect_right
from collections.abc import Iterator
from itertools import pairwise
from statistics import NormalDist
from typing import Final, TypeAlias

import attrs

#: Delay in seconds that one question less is worth: to a person who watches, to a program, where thousands of jobs
#: share a process, and where Kie calls us and a question is only for the case that its call is lost.
WATCHED, USUAL, CROWDED, CALLED = 0.05, 0.1, 0.5, 5.0
#: Seconds between two questions at the least and at the most.
SHORTEST, LONGEST = 1.0, 30.0
#: Random share of each wait, so that many jobs do not ask together.
SPREAD: Final = 0.05
#: Shares of the mixture: what was learned; the same, less sure of itself; and jobs that are refused right away.
_LEARNED, _DOUBTED, _REFUSED = 0.85, 0.10, 0.05
#: What is less sure of itself deviates at least so much, in logarithms of seconds.
_DOUBT: Final = 0.6
#: Refusals come after some three seconds: mean and deviation of the logarithms.
_AT_ONCE: Final = (math.log(3.0), 0.6)
#: Questions are planned ahead until so little is left of the distribution, or so many seconds after the create.
_REST, _FARTHEST = 1e-4, 3600.0

#: Share, mean and deviation of the logarithms of one part of a mixture.
_Part: TypeAlias = tuple[float, float, float]


@attrs.frozen
class Pace:
    """Ask by how long such jobs take: half the questions of a fixed interval, for the same delay.

    Attributes:
        worth: The delay in seconds that one question less is worth. Four times as much is half the questions, and
            twice the delay.
    """

    worth: float = attrs.field(default=USUAL)

    @worth.validator
    def _check(self, _: object, worth: float) -> None:
        if not 0 < worth < math.inf:
            raise ValueError(f"worth is {worth!r}; expected a number of seconds above 0")


@attrs.frozen
class Curve:
    """How long jobs take: a log-normal distribution, as mean and deviation of the logarithms of their seconds."""

    mean: float
    sigma: float

    def after(self, elapsed: float, chance: float, worth: float) -> float:
        """Return the seconds before the next question.

        Args:
            elapsed: Since the create.
            chance: From 0 to 1.
            worth: As in `Pace`.
        """
        moments, elapsed = _moments(self.mean, self.sigma, worth), max(0.0, elapsed)
        at = bisect_right(moments, elapsed + SHORTEST)
        wait = moments[at] - elapsed if at < len(moments) else LONGEST
        return min(wait, LONGEST) * (1 + SPREAD * (2 * chance - 1))

    def remaining(self, elapsed: float) -> float:
        """Return the seconds in which half of the jobs end that have run for *elapsed* seconds."""
        if elapsed <= 0:
            return math.exp(self.mean)
        durations = NormalDist(self.mean, self.sigma)
        ended = durations.cdf(math.log(elapsed))
        if ended > 1 - _REST:  # it takes longer than any did: for all that one can tell, as long again
            return elapsed
        return math.exp(durations.inv_cdf((1 + ended) / 2)) - elapsed


@functools.lru_cache(maxsize=1024)
def _moments(mean: float, sigma: float, worth: float) -> tuple[float, ...]:
    """Return when to ask, in seconds after the create; after the last, `LONGEST` apart."""
    mixture = (
        (_LEARNED, mean, sigma),
        (_DOUBTED, mean, max(_DOUBT, 2 * sigma)),
        (_REFUSED, *_AT_ONCE),
    )
    moments: list[float] = []
    asked = due = 0.0  # when the last question is asked, and the share of the next one that has come due since
    for (begin, hazard), (end, _) in pairwise(_hazards(mixture)):
        rate = math.sqrt(hazard / (2 * worth))  # questions per second
        now = max(begin, asked)
        while now < end:
            ready = now + (1 - due) / rate if rate else math.inf
            moment = min(max(ready, asked + SHORTEST), asked + LONGEST)
            if moment > end:
                due += rate * (end - now)
                break
            moments.append(moment)
            asked = now = moment
            due = 0.0
    return tuple(moments)


def _hazards(mixture: tuple[_Part, ...]) -> Iterator[tuple[float, float]]:
    """Yield moments in seconds, the later the farther apart, and the hazard from each to the next."""
    moment, step, left = 0.0, 0.25, 1.0
    while left > _REST and moment < _FARTHEST:
        middle = moment + step / 2
        density = left = 0.0
        for share, mean, sigma in mixture:
            deviation = (math.log(middle) - mean) / sigma
            density += share * math.exp(-deviation * deviation / 2) / (middle * sigma * math.sqrt(2 * math.pi))
            left += share * math.erfc(deviation / math.sqrt(2)) / 2
        yield moment, density / left
        moment += step
        step = max(step, moment * 0.02)
