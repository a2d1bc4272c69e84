"""Waiting, by a clock of the test's own: patient, but not for ever."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kie_core import (
    Artifact,
    Clock,
    Outcome,
    PluginFailed,
    ReadFailed,
    ReadRefused,
    RecordMissing,
    Schedule,
    WaitTimeout,
)
from kie_core._wait import INVISIBLE_SECONDS, RESULTLESS_SECONDS, UNREADABLE_ANSWERS, follow

DONE = Outcome("succeeded", (Artifact("image", "https://e.com/a.png"),))
pytestmark = pytest.mark.anyio


class FakeClock(Clock):
    """Time passes only by sleeping."""

    def __init__(self):
        self.time = 1000.0
        self.slept = []

    def now(self):
        return self.time

    async def sleep(self, seconds):
        self.time += seconds
        self.slept.append(seconds)


async def collected(answers, seconds=600.0, clock=None):
    """Follow a task that answers in turn, the last answer for ever; return what was yielded."""
    queue = list(answers)

    async def read():
        answer = queue.pop(0) if len(queue) > 1 else queue[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    schedule, clock = Schedule(), clock or FakeClock()
    return [
        outcome
        async for outcome in follow(read, handle="kie1:a:b:c:d", seconds=seconds, schedule=schedule, clock=clock)
    ]


async def test_each_change_is_yielded_once():
    """What did not change is not news."""
    running, half = Outcome("running"), Outcome("running", progress=0.5)

    assert await collected([running, running, half, half, DONE]) == [running, half, DONE]


async def test_a_failed_question_does_not_end_the_wait():
    """One network blip must not kill a paid job."""
    assert await collected([ReadFailed("HTTP 502")] * 7 + [DONE]) == [DONE]


async def test_a_record_that_appears_late_is_waited_for():
    """Kie may not know a task right after it made it."""
    assert await collected([RecordMissing("recordInfo is null"), RecordMissing("recordInfo is null"), DONE]) == [DONE]


async def test_a_record_that_never_appears_is_expired():
    """After the grace the task is given up, not waited for until the deadline."""
    clock = FakeClock()

    outcomes = await collected([RecordMissing("no record")], clock=clock)

    assert [outcome.state for outcome in outcomes] == ["expired"]
    assert INVISIBLE_SECONDS <= clock.time - 1000 < INVISIBLE_SECONDS + 20


async def test_success_without_a_result_is_asked_again_then_shown():
    """The money is spent, so the result gets a minute to appear; it is never bought again."""
    clock = FakeClock()

    outcomes = await collected([Outcome("succeeded")], clock=clock)

    assert [outcome.state for outcome in outcomes] == ["running", "succeeded"]
    assert clock.time - 1000 >= RESULTLESS_SECONDS


async def test_a_late_result_is_found():
    """Between the two the task counts as running."""
    assert (await collected([Outcome("succeeded"), DONE]))[-1] == DONE


async def test_the_wait_ends_on_time_and_names_the_handle():
    """The time-out says resume, not resubmit."""
    clock = FakeClock()

    with pytest.raises(WaitTimeout) as caught:
        await collected([Outcome("running")], seconds=60.0, clock=clock)

    assert clock.time - 1000 == pytest.approx(60.0)
    assert caught.value.handle == "kie1:a:b:c:d"
    assert "still running after 60 s" in str(caught.value)
    assert "do not submit it again" in str(caught.value)


async def test_a_time_out_without_any_answer_says_why():
    """The last reason is in the message."""
    with pytest.raises(WaitTimeout, match="HTTP 502"):
        await collected([ReadFailed("HTTP 502")], seconds=10.0)


async def test_a_wrong_key_ends_the_wait():
    """Waiting does not mend it."""
    with pytest.raises(ReadRefused, match="the task goes on and is paid"):
        await collected([ReadRefused("kie1:a:b:c:d", 401, "no")])


async def test_a_plugin_that_cannot_read_is_given_a_few_tries():
    """A defect of a plugin does not spin until the deadline."""
    broken = PluginFailed("acme", "parse_result", "KeyError: 'data'")

    assert await collected([broken] * (UNREADABLE_ANSWERS - 1) + [DONE]) == [DONE]
    with pytest.raises(PluginFailed):
        await collected([broken])


@pytest.mark.parametrize("state", ["failed", "expired", "needs_input"])
async def test_these_states_end_the_wait(state):
    """A voice that waits for a person says so instead of spinning."""
    assert await collected([Outcome(state)]) == [Outcome(state)]


async def test_for_ever_has_to_be_spelled_out():
    """math.inf waits as long as it takes."""
    clock = FakeClock()

    assert await collected([Outcome("running")] * 5000 + [DONE], seconds=math.inf, clock=clock) == [
        Outcome("running"),
        DONE,
    ]
    assert clock.time > 50_000


@given(st.integers(0, 10**6), st.floats(0, 1))
async def test_questions_are_never_too_close_nor_too_far(asked, chance):
    """Between the first delay and the longest, give or take the spread."""
    schedule = Schedule(first=2.0, factor=1.25, longest=15.0, spread=0.1)

    assert 1.8 <= schedule.delay(asked, chance) <= 16.5


async def test_the_default_schedule_asks_an_image_of_half_a_minute_about_eight_times():
    """A count, so that a change of the schedule is noticed."""
    clock = FakeClock()
    clock_ends = clock.time + 30

    async def read():
        return DONE if clock.now() >= clock_ends else Outcome("running")

    [outcome async for outcome in follow(read, handle="h", seconds=600, schedule=Schedule(spread=0), clock=clock)]

    assert len(clock.slept) == 7


async def test_a_task_that_was_seen_does_not_vanish_by_one_bad_answer():
    """The grace counts from the first missing record in a row, not from the start of the wait."""
    missing = [RecordMissing("no record")] * 3
    answers = [*missing, *[Outcome("running")] * 40, *missing, DONE]

    assert (await collected(answers, seconds=math.inf))[-1] == DONE


async def test_answers_that_tell_nothing_do_not_count_as_missing():
    """Missing, then a minute and a half of gateway errors, then missing once more: that is not 90 s in a row."""
    missing = RecordMissing("no record")
    answers = [missing, *[ReadFailed("HTTP 502")] * 20, missing, DONE]

    assert (await collected(answers, seconds=math.inf))[-1] == DONE
