"""Usage figures against the standard library and a model that counts one by one."""

from __future__ import annotations

import statistics
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kie_core._ledger.entry import STATES
from kie_core._ledger.stats import Bought, ModelStats, stats_of

SECONDS = st.floats(0, 1e6, allow_nan=False)
MOMENTS = st.none() | st.floats(1.7e9, 1.8e9)
#: What plugins and damaged ledgers may have left: it counts as not told.
ODD = st.sampled_from([float("nan"), float("inf"), -1.0, True, "7", None])
JOBS = st.lists(
    st.builds(
        Bought,
        model=st.sampled_from(["a", "b", "c"]),
        state=st.sampled_from(STATES),
        submitted_at=MOMENTS,
        finished_at=MOMENTS,
        told_seconds=SECONDS | ODD,
        spent=st.integers(0, 10**9),
        reserved=st.integers(0, 10**9),
    ),
    max_size=60,
)
SUCCEEDED, FAILED, RUNNING, UNKNOWN = (
    {"succeeded"},
    {"failed", "expired"},
    {"submitting", "running"},
    {"unknown", "abandoned"},
)


def successes(*durations):
    return [Bought("veo3", "succeeded", told_seconds=one) for one in durations]


def only(jobs):
    (found,) = stats_of(jobs)
    return found


@given(JOBS)
def test_every_job_is_counted_once_and_its_money_with_it(jobs):
    """What is in no model's figures is of a model of which nothing was bought."""
    found = stats_of(jobs)

    for one in found:
        of_model = [job for job in jobs if job.model == one.model]
        for states, count in zip(
            (SUCCEEDED, FAILED, RUNNING, UNKNOWN), (one.succeeded, one.failed, one.running, one.unknown), strict=True
        ):
            assert count == sum(job.state in states for job in of_model)
        assert one.bought == sum(job.state in SUCCEEDED | FAILED | RUNNING | UNKNOWN for job in of_model) > 0
        assert (one.spent, one.reserved) == (sum(job.spent for job in of_model), sum(job.reserved for job in of_model))
    assert {one.model for one in found} == {
        job.model for job in jobs if job.state in SUCCEEDED | FAILED | RUNNING | UNKNOWN
    }


@given(JOBS)
def test_the_most_bought_come_first(jobs):
    """Of equally many the first by name; the order of the jobs does not matter."""
    found = stats_of(jobs)

    assert [(-one.bought, one.model) for one in found] == sorted((-one.bought, one.model) for one in found)
    assert len({one.model for one in found}) == len(found)
    assert stats_of(reversed(jobs)) == found


@given(st.lists(SECONDS, min_size=1, max_size=80))
def test_the_median_is_that_of_the_standard_library(durations):
    """Of an even number the mean of the two in the middle."""
    assert only(successes(*durations)).median_seconds == pytest.approx(statistics.median(durations))


@given(st.lists(SECONDS, min_size=1, max_size=80))
def test_the_percentile_is_the_shortest_that_95_of_100_do_not_exceed(durations):
    """By its definition, counted one by one; of fewer than 20 it is the longest."""

    def share(limit):
        return Fraction(sum(one <= limit for one in durations), len(durations))

    found = only(successes(*durations)).p95_seconds

    assert found == min(one for one in durations if share(one) >= Fraction(95, 100))
    if len(durations) < 20:
        assert found == max(durations)


@pytest.mark.parametrize(("count", "rank"), [(1, 1), (19, 19), (20, 19), (21, 20), (40, 38), (100, 95), (101, 96)])
def test_ranks_are_rounded_up_in_whole_numbers(count, rank):
    """No float comes between: 95 % of 20 are 19."""
    assert only(successes(*range(1, count + 1))).p95_seconds == rank


def test_the_rate_is_of_those_that_ended():
    """What goes on or is unknown says nothing yet; without an end there is no rate."""
    running, unknown = Bought("veo3", "running"), Bought("veo3", "unknown")

    assert only([*successes(1, 2, 3), Bought("veo3", "failed"), running, unknown]).success_rate == 0.75
    assert only([running, unknown]).success_rate is None


def test_kies_own_seconds_come_before_ours():
    """Ours hold the time until somebody asked."""
    told = Bought("veo3", "succeeded", 100.0, 900.0, 42.0)
    untold = Bought("veo3", "succeeded", 100.0, 160.0)

    assert (told.seconds, untold.seconds) == (42.0, 60.0)


@pytest.mark.parametrize("told", [float("nan"), float("inf"), -1.0, 10**400, True, "7"])
def test_what_is_no_duration_is_not_told(told):
    """Then the ledger's own times count; where they run backwards, nothing does."""
    assert Bought("veo3", "succeeded", 100.0, 160.0, told).seconds == 60.0
    assert Bought("veo3", "succeeded", 160.0, 100.0, told).seconds is None
    assert only([Bought("veo3", "succeeded", None, 100.0, told)]).median_seconds is None


def test_only_successes_have_a_duration():
    """How soon a task fails says nothing about how long one waits for a result."""
    found = only([*successes(10.0), Bought("veo3", "failed", told_seconds=1.0), Bought("veo3", "expired", 0.0, 7200.0)])

    assert (found.median_seconds, found.p95_seconds) == (10.0, 10.0)


def test_no_jobs_make_no_figures():
    """Neither do jobs that were never bought."""
    assert stats_of([]) == ()
    assert stats_of([Bought("veo3", "queued"), Bought("veo3", "cancelled"), Bought("veo3", "not_submitted")]) == ()


def test_figures_are_a_value():
    """Equal where they are equal."""
    figures = ModelStats(
        model="veo3", succeeded=1, failed=0, running=0, unknown=0, median_seconds=5, p95_seconds=5, spent=0, reserved=0
    )

    assert only(successes(5)) == figures
