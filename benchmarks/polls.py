"""How late a result is seen, by how many polls are spent on it: the project's own schedule in virtual time.

No server and no clock: jobs have durations, a schedule says when to ask, and both figures follow.
"""

from __future__ import annotations

import bisect
import functools
import math
import random
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from statistics import fmean
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import attrs

from benchmarks.page import Answer, Table, curves
from benchmarks.rounds import Run

if TYPE_CHECKING:
    from kie_core import Plan

#: Seconds until the next question: of how many have passed since the create, and of a random number from 0 to 1.
After: TypeAlias = Callable[[float, float], float]


@attrs.frozen
class Family:
    """Jobs of one kind of media.

    Attributes:
        medians: Seconds that half of a model's jobs take, for each model.
        sigma: Of the logarithm of the duration, inside of a model.
        said: What 5, 50 and 95 % of the jobs that succeed take, in seconds: what the rest was made from.
    """

    medians: tuple[float, ...]
    sigma: float
    said: tuple[float, float, float]


FAMILIES: Final = {
    "image": Family((12.2, 17.5, 23, 29, 42), 0.18, (11, 23, 51)),
    "music": Family((76, 96, 116, 146), 0.13, (67, 109, 175)),
    "video": Family((82, 128, 180, 265, 405), 0.20, (71, 184, 496)),
}
#: Of all jobs so many fail within seconds, and so many take two to three times as long as they would.
FAILING, _FAILED_SECONDS, _FAILED_SIGMA = 0.04, 3.0, 0.4
STRAGGLING, _TIMES_LONGER = 0.03, (2.0, 3.0)
#: A model gets slower and faster again by so much, so many times in all jobs.
_DRIFT, _WAVES = 0.1, 2
#: The polls that are compared: what a detection may cost.
_VIDEO_POLLS: Final = 25.0


@attrs.frozen
class Task:
    """A job that is waited for.

    Attributes:
        model: Which, of its family.
        seconds: How long it takes.
        fails: Whether it then has failed.
    """

    model: int
    seconds: float
    fails: bool


def tasks_of(family: Family, count: int, chance: random.Random) -> list[Task]:
    """Return *count* jobs."""
    tasks = []
    for number in range(count):
        model = chance.randrange(len(family.medians))
        if chance.random() < FAILING:
            tasks.append(Task(model, chance.lognormvariate(math.log(_FAILED_SECONDS), _FAILED_SIGMA), fails=True))
            continue
        drift = 1 + _DRIFT * math.sin(2 * math.pi * (_WAVES * number / count + model / len(family.medians)))
        seconds = drift * chance.lognormvariate(math.log(family.medians[model]), family.sigma)
        longer = chance.uniform(*_TIMES_LONGER) if chance.random() < STRAGGLING else 1.0
        tasks.append(Task(model, seconds * longer, fails=False))
    return tasks


class Schedules:
    """When to ask about the jobs of one family's models. Here that is the same for all, and nothing is learnt."""

    def __init__(self, after: After) -> None:
        self._after = after

    def of(self, model: int) -> After:
        """Return when to ask about a job of *model* that begins now."""
        del model
        return self._after

    def learn(self, model: int, seconds: float) -> None:
        """Take note that a job of *model* succeeded after so many seconds."""


def fixed(seconds: float) -> Schedules:
    return Schedules(lambda *_: seconds)


def growing(first: float, factor: float, longest: float) -> Schedules:
    """Each wait is *factor* times the one before, up to *longest*."""
    times, wait, now = [], first, 0.0
    while now < 4000:
        now += wait
        times.append(now)
        wait = min(longest, wait * factor)
    return listed([times])


def listed(times: Sequence[Sequence[float]]) -> Schedules:
    """Ask at these seconds after the create, a list for each model; of one list, for all."""

    class Listed(Schedules):
        def of(self, model: int) -> After:
            return _listed(times[model % len(times)])

    return Listed(lambda *_: 0.0)


def _listed(times: Sequence[float]) -> After:
    def after(elapsed: float, _: float) -> float:
        place = bisect.bisect_right(times, elapsed + 1e-9)
        return times[place] - elapsed if place < len(times) else max(1.0, elapsed * 0.05)

    return after


def ours(media: str) -> Schedules:
    """The project's own schedule, as a client has it that was installed today: all that it learns, it learns here."""
    from kie_core import Pace
    from kie_core._ledger.durations import Durations, curve_of, key_of

    known: dict[tuple[str, str], Durations] = {}

    class Learning(Schedules):
        def of(self, model: int) -> After:
            curve = curve_of(_plan(media, model), known)
            return lambda elapsed, chance: curve.after(elapsed, chance, Pace().worth)

        def learn(self, model: int, seconds: float) -> None:
            key = key_of(_plan(media, model))
            known[key] = known.get(key, Durations()).learned(seconds)

    return Learning(lambda *_: 0.0)


@functools.cache
def _plan(media: str, model: int) -> Plan:
    from kie_core import Plan

    makes: Any = {"music": "audio"}.get(media, media)
    return Plan(
        model=f"{media}-{model}", category="benchmarks", media=makes, wire="dedicated", create="/", query="/",
        task_param="taskId", callback_field=None, contract=None, credits=None, wire_price=None, unit=None,
        kopecks_per_credit="0", limits=(), seconds=math.inf,
    )  # fmt: skip


@attrs.frozen
class Score:
    """What a schedule came to: ``polls`` for each job, and seconds after which a success, or a failure, was seen."""

    polls: float
    late: float
    late_p95: float
    late_p99: float
    failed: float


def simulated(tasks: Sequence[Task], schedules: Schedules, chance: random.Random) -> Score:
    """Wait for every job by *schedules*."""
    polls = 0
    late: list[float] = []
    failed: list[float] = []
    for task in tasks:
        after, now = schedules.of(task.model), 0.0
        while now < task.seconds:
            now += after(now, chance.random())
            polls += 1
        (failed if task.fails else late).append(now - task.seconds)
        if not task.fails:
            schedules.learn(task.model, task.seconds)
    late.sort()
    return Score(
        polls / len(tasks), fmean(late), late[len(late) * 95 // 100], late[len(late) * 99 // 100], fmean(failed)
    )


# --- the optimum -----------------------------------------------------------------------


def optimum(family: Family, worth: float) -> Schedules:
    """Return the best that is possible for who knows every model's distribution, and takes *worth* seconds for a poll.

    Minimises the expected delay of a success plus *worth* times the polls, by dynamic programming on a grid.
    """
    return listed([_best_times(median, family.sigma, worth) for median in family.medians])


def _best_times(median: float, sigma: float, worth: float, steps: int = 500) -> list[float]:
    longest = median * math.exp(3.5 * sigma) * _TIMES_LONGER[1]
    # A fine grid where jobs end, a coarse one behind it.
    usual = median * math.exp(3 * sigma)
    grid = [usual * number / (steps * 4 // 5) for number in range(steps * 4 // 5)]
    grid += [usual + (longest - usual) * number / (steps // 5) for number in range(steps // 5 + 1)]
    ended = [_ended(seconds, median, sigma) for seconds in grid]
    succeeded = [share for share, _ in ended]
    alive = [1 - share - failed for share, failed in ended]
    # The sum of the moments at which jobs succeed, up to each point of the grid.
    moments = [0.0]
    for number in range(1, len(grid)):
        middle = (grid[number] + grid[number - 1]) / 2
        moments.append(moments[-1] + middle * (succeeded[number] - succeeded[number - 1]))
    last = len(grid) - 1
    cost, following = [0.0] * len(grid), [last] * len(grid)
    for start in range(last - 1, -1, -1):
        best = math.inf
        for end in range(start + 1, len(grid)):
            delay = grid[end] * (succeeded[end] - succeeded[start]) - (moments[end] - moments[start])
            if delay > best:  # it only grows from here
                break
            whole = worth * alive[start] + delay + cost[end]
            if whole < best:
                best, following[start] = whole, end
        cost[start] = best
    times, place = [], 0
    while place < last:
        place = following[place]
        times.append(grid[place])
    return times


def _ended(seconds: float, median: float, sigma: float) -> tuple[float, float]:
    """Return the share of a model's jobs that has succeeded, and that has failed, after so many seconds."""
    if seconds <= 0:
        return 0.0, 0.0
    failed = FAILING * _normal(math.log(seconds / _FAILED_SECONDS) / _FAILED_SIGMA)
    longer = [_TIMES_LONGER[0] + (number + 0.5) / 8 * (_TIMES_LONGER[1] - _TIMES_LONGER[0]) for number in range(8)]
    slow = fmean(_normal(math.log(seconds / median / times) / sigma) for times in longer)
    usual = _normal(math.log(seconds / median) / sigma)
    return (1 - FAILING) * ((1 - STRAGGLING) * usual + STRAGGLING * slow), failed


def _normal(x: float) -> float:
    return math.erfc(-x / math.sqrt(2)) / 2


# --- the question ----------------------------------------------------------------------

_FIXED: Final = (1.0, 2.0, 3.0, 5.0, 10.0)
_WORTH: Final = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
OURS: Final = "kie-core"
OPTIMUM: Final = "the optimum"
GROWING: Final = "x1.5 from 2 s, at most 10 s"


def answer(run: Run) -> Answer:
    """Ask the question."""
    count = 400 if run.quick else 4000
    worths = _WORTH[1::2] if run.quick else _WORTH
    tables: list[Table] = []
    plots: dict[str, str] = {}
    figures: dict[str, float | None] = {}
    for media, family in FAMILIES.items():
        tasks = tasks_of(family, count, random.Random(media))
        scores = _scores(media, family, tasks, worths)
        rows = [
            (name, one.polls, one.late, _at(scores[OPTIMUM], one.polls), one.late_p95, one.late_p99, one.failed)
            for ones in scores.values()
            for name, one in ones.items()
        ]
        columns = (
            "schedule", "polls per job", "seen after s", "optimum at as many polls s", "p95 s", "p99 s",
            "a fast failure after s",
        )  # fmt: skip
        spread = sorted(task.seconds for task in tasks if not task.fails)
        took = "/".join(f"{spread[len(spread) * share // 100]:.0f}" for share in (5, 50, 95))
        tables.append(Table(columns, rows, f"{media}: {count} jobs that take {took} s (p5/p50/p95)"))
        lines = {line: [(one.polls, one.late) for one in ones.values()] for line, ones in scores.items()}
        plots[f"performance-polls-{media}.svg"] = curves(
            lines, across=f"polls for each job ({media})", up="seconds until a result is seen, on average"
        )
        if media == "video":
            mine = scores[OURS][OURS]
            # Twice the polls halve the latency: what spends more than it may is judged by what it would have for that.
            figures["video latency"] = mine.late * max(1.0, mine.polls / _VIDEO_POLLS)
            figures["video polls"] = mine.polls / simulated(tasks, fixed(2 * mine.late), random.Random(1)).polls
    return Answer(
        "Polls against latency",
        "The project's real scheduling code in virtual time. Durations are log-normal inside of a model, with several "
        f"models for each kind of media, a slow drift, {STRAGGLING:.0%} stragglers that take two to three times as "
        f"long, and {FAILING:.0%} that fail within seconds. Seen after: on average, of jobs that succeed. The optimum "
        "knows every model's true distribution (dynamic programming); nothing can lie below it.",
        tables,
        plots,
        figures,
        (
            "A fixed interval of I seconds sees a result after I/2, with a poll for every I seconds of the job.",
            "Ours begins with what the project ships; what it learns, it learns in the course of these jobs.",
        ),
    )


def _scores(media: str, family: Family, tasks: Sequence[Task], worths: Sequence[float]) -> dict[str, dict[str, Score]]:
    """Return for each line of the plot what its schedules came to."""

    def score(schedules: Schedules) -> Score:
        return simulated(tasks, schedules, random.Random(1))

    return {
        OURS: {OURS: score(ours(media))},
        "a fixed interval": {f"every {seconds:g} s": score(fixed(seconds)) for seconds in _FIXED},
        GROWING: {GROWING: score(growing(2.0, 1.5, 10.0))},
        OPTIMUM: {f"{OPTIMUM}, {worth:g} s a poll": score(optimum(family, worth)) for worth in worths},
    }


def _at(scores: Mapping[str, Score], polls: float) -> float | None:
    """Return the latency that there would be at so many polls, between two schedules that were simulated."""
    points = sorted((math.log(one.polls), math.log(one.late)) for one in scores.values())
    for (x0, y0), (x1, y1) in pairwise(points):
        if x0 <= math.log(polls) <= x1:
            return math.exp(y0 + (y1 - y0) * (math.log(polls) - x0) / (x1 - x0))
    return None
