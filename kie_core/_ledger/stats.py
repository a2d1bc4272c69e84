"""Usage figures: what each model cost, how often it succeeded and how long it took. Pure arithmetic."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import attrs

from kie_core._ledger.entry import JobState

#: What became of a job, by its state; a job in any other state was not bought.
_RUNNING: Final[frozenset[JobState]] = frozenset({"submitting", "running"})
_FAILED: Final[frozenset[JobState]] = frozenset({"failed", "expired"})
_UNKNOWN: Final[frozenset[JobState]] = frozenset({"unknown", "abandoned"})
#: Seconds; what plugins tell beyond is no duration.
_LONGEST: Final = 1e9


@attrs.frozen
class Bought:
    """What the ledger tells of one job that Kie took, or may have taken.

    Attributes:
        model: Its id.
        state: Where it stands; a success whose results are gone from Kie is still ``succeeded``.
        submitted_at, finished_at: Seconds since 1970.
        told_seconds: How long it took, by Kie's clock; None: Kie did not say.
        spent, reserved: Kopecks.
    """

    model: str
    state: JobState
    submitted_at: float | None = None
    finished_at: float | None = None
    told_seconds: float | None = None
    spent: int = 0
    reserved: int = 0

    @property
    def seconds(self) -> float | None:
        """How long it took: as Kie told, else until its end was seen; None: nobody knows."""
        if _is_duration(self.told_seconds):
            return self.told_seconds
        if self.submitted_at is None or self.finished_at is None:
            return None
        seen = self.finished_at - self.submitted_at
        return seen if _is_duration(seen) else None  # clocks are set back at times


@attrs.frozen(kw_only=True)
class ModelStats:
    """What the jobs of one model came to, as far as the ledger knows.

    Attributes:
        model: Its id.
        succeeded: Jobs with a result, even if it is not at Kie any more.
        failed: Jobs that Kie took and that ended without a result.
        running: Jobs that go on.
        unknown: Jobs of which nobody knows whether they were bought, and those that were given up as such.
        median_seconds: The duration of a success in the middle, of an even number the mean of the two in the
            middle: as Kie told, else from the create until its end was seen. None: there is none.
        p95_seconds: The 95th percentile of the same durations by nearest rank: the shortest of them that at
            least 95 % do not exceed. One that really occurred, and of fewer than 20 the longest.
        spent: Kopecks, of jobs that ended.
        reserved: Kopecks, of jobs that go on and of unknown ones.
    """

    model: str
    succeeded: int
    failed: int
    running: int
    unknown: int
    median_seconds: float | None
    p95_seconds: float | None
    spent: int
    reserved: int

    @property
    def bought(self) -> int:
        """All jobs that Kie took, or may have taken."""
        return self.succeeded + self.failed + self.running + self.unknown

    @property
    def success_rate(self) -> float | None:
        """The share of successes among the jobs that succeeded or failed, 0 to 1; None: none did."""
        ended = self.succeeded + self.failed
        return self.succeeded / ended if ended else None


def stats_of(jobs: Iterable[Bought]) -> tuple[ModelStats, ...]:
    """Return the figures of every model that occurs in *jobs*, the most bought first."""
    by_model: dict[str, list[Bought]] = {}
    for job in jobs:
        by_model.setdefault(job.model, []).append(job)
    found = [_figures(model, of_model) for model, of_model in by_model.items()]
    return tuple(sorted((one for one in found if one.bought), key=lambda one: (-one.bought, one.model)))


def _figures(model: str, jobs: Sequence[Bought]) -> ModelStats:
    succeeded = [job for job in jobs if job.state == "succeeded"]
    durations = sorted(seconds for job in succeeded if (seconds := job.seconds) is not None)
    return ModelStats(
        model=model,
        succeeded=len(succeeded),
        failed=sum(job.state in _FAILED for job in jobs),
        running=sum(job.state in _RUNNING for job in jobs),
        unknown=sum(job.state in _UNKNOWN for job in jobs),
        median_seconds=_median(durations),
        p95_seconds=_nearest_rank(durations, 95),
        spent=sum(job.spent for job in jobs),
        reserved=sum(job.reserved for job in jobs),
    )


def _median(ordered: Sequence[float]) -> float | None:
    if not ordered:
        return None
    low, high = ordered[(len(ordered) - 1) // 2], ordered[len(ordered) // 2]
    return low if low == high else (low + high) / 2


def _nearest_rank(ordered: Sequence[float], percent: int) -> float | None:
    rank = -(-len(ordered) * percent // 100)  # rounded up, in whole numbers
    return ordered[rank - 1] if ordered else None


def _is_duration(seconds: Any) -> bool:
    return isinstance(seconds, (int, float)) and not isinstance(seconds, bool) and 0 <= seconds <= _LONGEST
