"""When to ask, where nothing is known of how long such jobs take."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kie_core import Schedule


@given(st.floats(-100, 10**6), st.floats(0, 1))
def test_questions_are_never_too_close_nor_too_far(elapsed, chance):
    """Between the first delay and the longest, give or take the spread."""
    schedule = Schedule(first=2.0, factor=1.25, longest=15.0, spread=0.1)

    assert 1.8 <= schedule.after(elapsed, chance) <= 16.5


def test_the_default_schedule_asks_an_image_of_half_a_minute_seven_times():
    """A count, so that a change of the schedule is noticed."""
    schedule, elapsed, asked = Schedule(spread=0), 0.0, 0
    while elapsed < 30:
        elapsed += schedule.after(elapsed, 0.5)
        asked += 1

    assert asked == 7
