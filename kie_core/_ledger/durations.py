"""How long jobs took, by model and price: learned from Kie's own clock, kept in the ledger.

The price stands for the inputs: what makes more work, such as a longer or a larger video, costs more.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, TypeAlias

import attrs

from kie_core._ledger.transaction import Transaction
from kie_core._pace import Curve

if TYPE_CHECKING:
    from kie_core._ledger.entry import Entry, Plan

#: Model, and credits of one job as text.
Key: TypeAlias = tuple[str, str]

#: What is known of a model to begin with counts as much as so many of its jobs; once it had so many, half of that.
PRIOR_JOBS: Final = 4.0
#: So many jobs count, the latest the most: models become faster and slower.
REMEMBERED: Final = 60.0
#: Model, or media -> median in seconds.
#: Source: docs.kie.ai/veo3-api, read 2026-04-29, for Veo and its finer versions; for the others the few records that
#: Kie's pages show, read 2026-08-19 to 2026-10-01, which is a beginning and no more. UNVERIFIED beyond those.
_MEDIANS: Final[Mapping[str, float]] = {
    "veo3": 190.0, "veo3_fast": 130.0, "veo-1080p": 110.0, "veo-4k": 420.0,
    "image": 40.0, "audio": 75.0, "video": 170.0, "text": 15.0, "data": 30.0,
}  # fmt: skip
#: Deviation of the logarithms, to begin with: two of three jobs take between half and twice the median.
_SIGMA: Final = 0.6
#: Seconds; what took less or more was measured by a clock that is wrong.
_CREDIBLE: Final = (0.1, 7 * 86400.0)
#: Curves differ in steps of this, so that hardly any is computed anew when one more job has ended.
_STEP: Final = 0.05


@attrs.frozen
class Durations:
    """What the durations of some jobs come to: sums over the logarithms of their seconds.

    Attributes:
        jobs: How many count.
        total: Sum of the logarithms.
        squares: Sum of their squares.
    """

    jobs: float = 0.0
    total: float = 0.0
    squares: float = 0.0

    def learned(self, seconds: float) -> Durations:
        """Return what is known after one more job."""
        kept, log = min(1.0, (REMEMBERED - 1) / self.jobs) if self.jobs else 1.0, math.log(seconds)
        return Durations(self.jobs * kept + 1, self.total * kept + log, self.squares * kept + log * log)

    def curve(self, median: float) -> Curve:
        """Return the distribution, where *median* was known to begin with."""
        prior, weight = math.log(median), PRIOR_JOBS / (1 + self.jobs / PRIOR_JOBS)
        jobs = self.jobs + weight
        mean = (self.total + weight * prior) / jobs
        squares = (self.squares + weight * (_SIGMA**2 + prior**2)) / jobs
        sigma = math.sqrt(max(0.0, squares - mean**2))
        return Curve(round(mean / _STEP) * _STEP, max(1, round(sigma / _STEP)) * _STEP)


def curve_of(plan: Plan, known: Mapping[Key, Durations]) -> Curve:
    """Return how long jobs of this plan take, by what is *known*."""
    return known.get(key_of(plan), Durations()).curve(_MEDIANS.get(plan.model) or _MEDIANS[plan.media])


def key_of(plan: Plan) -> Key:
    """Return under what the durations of such jobs are kept."""
    return plan.model, plan.credits or ""


def taken(was: str, entry: Entry) -> float | None:
    """Return the seconds that a job took which has just succeeded, by Kie's clock; None: nothing is to be learned."""
    if entry.state != "succeeded" or was == "succeeded" or entry.outcome is None:
        return None
    seconds = entry.outcome.seconds
    return seconds if seconds is not None and _CREDIBLE[0] <= seconds <= _CREDIBLE[1] else None


# --- parts of the ledger's transactions ------------------------------------------------------


def learn(was: str, entry: Entry) -> Transaction[None]:
    """Keep how long a job took that has just succeeded."""
    seconds = taken(was, entry)
    if seconds is None:
        return
    kept = f"CASE WHEN duration.jobs > {REMEMBERED - 1} THEN {REMEMBERED - 1} / duration.jobs ELSE 1.0 END"
    sums = ", ".join(f"{name} = duration.{name} * ({kept}) + excluded.{name}" for name in ("jobs", "total", "squares"))
    model, credits = key_of(entry.plan)
    yield (
        (
            "INSERT INTO duration (model, credits, jobs, total, squares)"  # noqa: S608  (our own texts)
            f" VALUES (:model, :credits, 1.0, :total, :squares) ON CONFLICT (model, credits) DO UPDATE SET {sums}"
        ),
        {"model": model, "credits": credits, "total": math.log(seconds), "squares": math.log(seconds) ** 2},
    )


def known() -> Transaction[dict[Key, Durations]]:
    """Return all that was learned."""
    rows = yield "SELECT * FROM duration", {}
    return {(row["model"], row["credits"]): Durations(row["jobs"], row["total"], row["squares"]) for row in rows}
