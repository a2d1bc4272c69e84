"""When is asked, by how long such jobs take: simulated, by the very code that plans the questions."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kie_core import Pace
from kie_core._ledger.durations import Durations
from kie_core._pace import LONGEST, SHORTEST, SPREAD, USUAL, Curve

#: Medians of the models of a kind, in seconds.
KINDS = {"image": (12, 17, 23, 31, 43), "music": (85, 100, 118, 140), "video": (85, 130, 184, 270, 400)}


def played(medians, after, *, jobs=3000, guess=None):
    """Play so many jobs of each model in turn, as they would run: some take far longer, some are refused at once.

    Returns:
        Questions for each job, and the mean delay in seconds after which a success was seen.
    """
    luck = random.Random(7)
    known = {median: Durations() for median in medians}
    questions = delay = successes = 0
    for number in range(jobs):
        median, kind = medians[number % len(medians)], luck.random()
        seconds = median * math.exp(luck.gauss(0, 0.18))
        if kind < 0.03:
            seconds *= luck.uniform(2, 3)
        refused = 0.03 <= kind < 0.07
        if refused:
            seconds = 3 * math.exp(luck.gauss(0, 0.4))
        curve, elapsed = known[median].curve(guess or median * 1.7), 0.0
        while elapsed < seconds:
            elapsed += after(curve, elapsed, luck.random())
            questions += 1
        if not refused:
            successes, delay = successes + 1, delay + elapsed - seconds
            known[median] = known[median].learned(seconds)
    return questions / jobs, delay / successes


def by_hazard(worth):
    return lambda curve, elapsed, chance: curve.after(elapsed, chance, worth)


def fixed(interval):
    return lambda curve, elapsed, chance: interval * (1 + SPREAD * (2 * chance - 1))


@pytest.mark.parametrize("kind", KINDS)
def test_half_the_questions_of_a_fixed_interval_for_the_same_delay(kind):
    """Learned by the way, from a first guess that was far off."""
    asked, delay = played(KINDS[kind], by_hazard(USUAL))
    asked_fixed, delay_fixed = played(KINDS[kind], fixed(2 * delay))

    assert delay_fixed == pytest.approx(delay, rel=0.1)
    assert asked <= 0.55 * asked_fixed


def test_a_video_is_seen_soon_with_few_questions():
    """Twenty-five for each, and two and a half seconds."""
    asked, delay = played(KINDS["video"], by_hazard(USUAL))

    assert asked <= 26
    assert delay <= 2.6


def test_four_times_the_worth_is_half_the_questions():
    """And about twice the delay: that is what ``worth`` says."""
    asked, delay = played(KINDS["video"], by_hazard(0.1))
    fewer, later = played(KINDS["video"], by_hazard(0.4))

    assert 0.4 < fewer / asked < 0.65
    assert 1.5 < later / delay < 2.5


def test_what_was_learned_counts_more_than_the_guess():
    """After a dozen jobs the first guess matters little, though it was ten times too long."""
    known = Durations()
    for _ in range(12):
        known = known.learned(20.0)

    assert 17 < math.exp(known.curve(200.0).mean) < 32


def test_a_model_that_becomes_slower_is_noticed():
    """Only the latest jobs count."""
    known = Durations()
    for seconds in (*[20.0] * 500, *[40.0] * 120):
        known = known.learned(seconds)

    assert 36 < math.exp(known.curve(20.0).mean) < 42


@given(
    st.floats(-10, 20), st.floats(0.05, 8), st.floats(-1e9, 1e9), st.floats(0, 1), st.sampled_from([1e-6, 0.1, 5, 1e6])
)
def test_questions_are_never_too_close_nor_too_far(mean, sigma, elapsed, chance, worth):
    """Whatever was learned, and whatever the clock says."""
    wait = Curve(mean, sigma).after(elapsed, chance, worth)

    assert SHORTEST * (1 - SPREAD) <= wait <= LONGEST * (1 + SPREAD)


@given(st.floats(-10, 20), st.floats(0.05, 8), st.floats(0, 1e9))
def test_something_always_remains(mean, sigma, elapsed):
    """A bar that shows it neither ends before the job nor runs backwards beyond all measure."""
    assert 0 < Curve(mean, sigma).remaining(elapsed) < math.inf


def test_the_longer_it_runs_the_less_remains_until_it_is_late():
    """At the beginning half of all jobs; then half of those that still run."""
    curve = Curve(math.log(100), 0.2)

    assert curve.remaining(0) == pytest.approx(100)
    assert curve.remaining(60) == pytest.approx(40, abs=2)
    assert curve.remaining(99) < 20
    assert curve.remaining(400) == 400


@pytest.mark.parametrize("worth", [0, -1, math.nan, math.inf])
def test_a_worth_that_is_none_is_refused(worth):
    """Zero would ask without end."""
    with pytest.raises(ValueError, match="expected a number of seconds above 0"):
        Pace(worth)
