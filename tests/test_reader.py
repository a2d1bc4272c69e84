"""What is made of the answers about a job, by a clock of the test's own: patient, but not for ever."""

from __future__ import annotations

import math

import attrs
import pytest

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
    load_dispatcher,
    load_settings,
)
from kie_core._jobs.answer import Answer
from kie_core._ledger.entry import INVISIBLE_SECONDS, RESULTLESS_SECONDS, UNREADABLE_ANSWERS, Entry, Plan
from kie_core._running.plan import Planner
from kie_core._running.reader import Reader

RESULT = Outcome("succeeded", (Artifact("image", "https://e.com/a.png"),))
#: The same, as it is compared here.
DONE = Outcome("succeeded")
pytestmark = pytest.mark.anyio


PLAN = Plan(
    model="acme-sketch", category="acme", media="image", wire="dedicated", create="/create", query="/query",
    task_param="taskId", callback_field=None, contract=None, credits=None, wire_price=None, unit=None,
    kopecks_per_credit="0", limits=(), seconds=math.inf,
)  # fmt: skip


class FakeClock(Clock):
    """Time passes only by sleeping."""

    def __init__(self):
        self.passed = 1000.0
        self.slept = []

    def now(self):
        return self.passed

    def time(self):
        return self.passed

    async def sleep(self, seconds):
        self.passed += seconds
        self.slept.append(seconds)


class Script:
    """In place of the network: what is answered in turn, the last for ever; each answer differs from all others."""

    def __init__(self, readings):
        self.readings = list(readings)
        self.reading = None
        self.asked = 0

    async def ask(self, request, *, seconds):
        self.reading = self.readings.pop(0) if len(self.readings) > 1 else self.readings[0]
        self.asked += 1
        if isinstance(self.reading, ReadFailed):
            raise self.reading
        return Answer(200, b'{"number": %d}' % self.asked)


class Scripted(Reader):
    """Reads what the script says."""

    def understood(self, entry, body):
        if isinstance(self.http.reading, Exception):
            raise self.http.reading
        return self.http.reading


async def collected(answers, seconds=600.0, clock=None):
    """Follow a task that answers in turn, the last answer for ever; return what was yielded."""
    clock = clock or FakeClock()
    planner = Planner("a", load_settings(), load_dispatcher(load_settings()))
    reader = Scripted(planner, None, Script(answers), Schedule(), clock, unwritten={})
    entry = Entry(
        id="job1", account="a", plan=PLAN, inputs=None, fingerprint="", state="running", task_id="t1",
        submitted_at=clock.time(),
    )  # fmt: skip
    steps = [step async for step in reader.follow(entry, seconds, at_once=False)]
    return [attrs.evolve(step.outcome, artifacts=()) if step.outcome.finished else step.outcome for step in steps]


async def test_each_change_is_yielded_once():
    """What did not change is not news."""
    running, half = Outcome("running"), Outcome("running", progress=0.5)

    assert await collected([running, running, half, half, RESULT]) == [running, half, DONE]


async def test_a_failed_question_does_not_end_the_wait():
    """One network blip must not kill a paid job."""
    assert await collected([ReadFailed("HTTP 502")] * 7 + [RESULT]) == [DONE]


async def test_a_record_that_appears_late_is_waited_for():
    """Kie may not know a task right after it made it."""
    assert await collected([RecordMissing("recordInfo is null"), RecordMissing("recordInfo is null"), RESULT]) == [DONE]


async def test_a_record_that_never_appears_is_expired():
    """After the grace the task is given up, not waited for until the deadline."""
    clock = FakeClock()

    outcomes = await collected([RecordMissing("no record")], clock=clock)

    assert [outcome.state for outcome in outcomes] == ["expired"]
    assert INVISIBLE_SECONDS <= clock.passed - 1000 < INVISIBLE_SECONDS + 20


async def test_success_without_a_result_is_asked_again_then_shown():
    """The money is spent, so the result gets a minute to appear; it is never bought again."""
    clock = FakeClock()

    outcomes = await collected([Outcome("succeeded")], clock=clock)

    assert [outcome.state for outcome in outcomes] == ["running", "succeeded"]
    assert clock.passed - 1000 >= RESULTLESS_SECONDS


async def test_a_late_result_is_found():
    """Between the two the task counts as running."""
    assert (await collected([Outcome("succeeded"), RESULT]))[-1] == DONE


async def test_the_wait_ends_on_time_and_names_the_handle():
    """The time-out says resume, not resubmit."""
    clock = FakeClock()

    with pytest.raises(WaitTimeout) as caught:
        await collected([Outcome("running")], seconds=60.0, clock=clock)

    assert clock.passed - 1000 == pytest.approx(60.0)
    assert caught.value.handle == "kie1:job1:acme-sketch:dedicated:t1"
    assert "still running after 60 s" in str(caught.value)
    assert "do not submit it again" in str(caught.value)


async def test_a_time_out_without_any_answer_says_why():
    """The last reason is in the message."""
    with pytest.raises(WaitTimeout, match="HTTP 502"):
        await collected([ReadFailed("HTTP 502")], seconds=10.0)


async def test_a_wrong_key_ends_the_wait():
    """Waiting does not mend it."""
    with pytest.raises(ReadRefused, match="the task goes on and is paid"):
        await collected([ReadRefused("kie1:job1:acme-sketch:dedicated:t1", 401, "no")])


async def test_a_plugin_that_cannot_read_is_given_a_few_tries():
    """A defect of a plugin does not spin until the deadline."""
    broken = PluginFailed("acme", "parse_result", "KeyError: 'data'")

    assert await collected([broken] * (UNREADABLE_ANSWERS - 1) + [RESULT]) == [DONE]
    with pytest.raises(PluginFailed):
        await collected([broken])


@pytest.mark.parametrize("state", ["failed", "expired", "needs_input"])
async def test_these_states_end_the_wait(state):
    """A voice that waits for a person says so instead of spinning."""
    assert await collected([Outcome(state)]) == [Outcome(state)]


async def test_for_ever_has_to_be_spelled_out():
    """math.inf waits as long as it takes."""
    clock = FakeClock()

    assert await collected([Outcome("running")] * 5000 + [RESULT], seconds=math.inf, clock=clock) == [
        Outcome("running"),
        DONE,
    ]
    assert clock.passed > 50_000


async def test_a_task_that_was_seen_does_not_vanish_by_one_bad_answer():
    """The grace counts from the first missing record in a row, not from the start of the wait."""
    missing = [RecordMissing("no record")] * 3
    answers = [*missing, *[Outcome("running")] * 40, *missing, RESULT]

    assert (await collected(answers, seconds=math.inf))[-1] == DONE


async def test_answers_that_tell_nothing_do_not_count_as_missing():
    """Missing, then a minute and a half of gateway errors, then missing once more: that is not 90 s in a row."""
    missing = RecordMissing("no record")
    answers = [missing, *[ReadFailed("HTTP 502")] * 20, missing, RESULT]

    assert (await collected(answers, seconds=math.inf))[-1] == DONE
