"""What is due is done, once at a time, by a crew that does not grow with what waits. By a clock of the test's own."""

from __future__ import annotations

import asyncio

import pytest

from kie_core import Clock
from kie_core._running.scheduler import CREW, TICK, Scheduler

pytestmark = pytest.mark.anyio


class FakeClock(Clock):
    """Time passes only by sleeping."""

    def __init__(self):
        self.passed = 0.0
        self.sleeps = 0

    def now(self):
        return self.passed

    async def sleep(self, seconds):
        self.sleeps += 1
        await asyncio.sleep(0)
        self.passed += seconds


class Noted:
    """Writes down when it was done; goes on as often as it is told."""

    def __init__(self, clock, log, *, waits=()):
        self.clock, self.log, self.waits = clock, log, list(waits)
        self.due = None
        self.running = self.most = 0
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.cut = False

    async def step(self):
        self.log.append((self, self.clock.passed))
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0)  # a purchase is brought to its end
            self.cut = True
            raise
        finally:
            self.running -= 1
        return self.waits.pop(0) if self.waits else None


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
async def scheduler(clock):
    made = Scheduler(clock)
    yield made
    await made.close()


async def settled(log, count):
    """Let the loop run until so much was done, and a little longer."""
    async with asyncio.timeout(10):
        while len(log) < count:  # noqa: ASYNC110
            await asyncio.sleep(0)
    for _ in range(20):
        await asyncio.sleep(0)


async def test_what_is_due_first_is_done_first(scheduler, clock):
    """Whatever the order in which it was planned."""
    log = []
    late, early = Noted(clock, log), Noted(clock, log)

    scheduler.plan(late, 2.0)
    scheduler.plan(early, 1.0)
    await settled(log, 2)

    assert [work for work, _ in log] == [early, late]
    assert [when for _, when in log] == pytest.approx([1.0, 2.0])


async def test_what_is_due_together_is_begun_in_the_order_of_planning(scheduler, clock):
    """A job that was enqueued first is bought first."""
    log = []
    works = [Noted(clock, log) for _ in range(200)]

    for work in works:
        scheduler.plan(work, 0.0)
    await settled(log, 200)

    assert [work for work, _ in log] == works


async def test_a_step_says_when_the_next_one_is(scheduler, clock):
    """And None ends it."""
    log = []
    scheduler.plan(Noted(clock, log, waits=[1.0, 3.0]), 0.0)
    await settled(log, 3)

    assert [when for _, when in log] == pytest.approx([0.0, 1.0, 4.0])


async def test_what_falls_into_one_tick_wakes_the_process_once(scheduler, clock):
    """A thousand jobs that are spread over a tick are one sleep and not a thousand."""
    log = []
    for number in range(1000):
        scheduler.plan(Noted(clock, log), 1.0 + number * TICK / 1001)
    await settled(log, 1000)

    assert len({when for _, when in log}) <= 2
    assert clock.sleeps <= 4


@pytest.mark.parametrize(("seconds", "when"), [(0.01, TICK), (1.02, 1.0), (1.03, 1.0 + TICK)])
async def test_what_waits_is_done_at_the_nearest_tick(scheduler, clock, seconds, when):
    """So it is as often a little early as late; but what is to wait at all, waits."""
    log = []
    scheduler.plan(Noted(clock, log), seconds)
    await settled(log, 1)

    assert log[0][1] == pytest.approx(when)


async def test_a_deadline_is_kept_to_the_letter(scheduler, clock):
    """The end of a wait is no question, and is not moved to a tick."""
    log = []
    scheduler.plan(Noted(clock, log), 1.234, exactly=True)
    await settled(log, 1)

    assert log[0][1] == pytest.approx(1.234, abs=1e-9)


async def test_planning_anew_replaces_the_plan(scheduler, clock):
    """Sooner or later: it is done once."""
    log = []
    sooner, later = Noted(clock, log), Noted(clock, log)
    scheduler.plan(sooner, 5.0)
    scheduler.plan(later, 1.0)
    scheduler.plan(sooner, 0.5)
    scheduler.plan(later, 3.0)
    await settled(log, 2)

    assert [(work is sooner, when) for work, when in log] == [(True, pytest.approx(0.5)), (False, pytest.approx(3.0))]


async def test_something_earlier_wakes_who_sleeps(scheduler):
    """A callback does not wait for the next question."""
    real = Scheduler(Clock())
    log = []
    clock = FakeClock()
    asleep, urgent = Noted(clock, log), Noted(clock, log)
    real.plan(asleep, 3600.0)
    await asyncio.sleep(0.01)

    real.plan(urgent, 0.0)
    await settled(log, 1)
    await real.close()

    assert [work for work, _ in log] == [urgent]


async def test_nothing_is_done_twice_at_a_time(scheduler, clock):
    """What is planned while it is being done is done once more, afterwards."""
    log = []
    work = Noted(clock, log)
    work.go_on.clear()
    scheduler.plan(work, 0.0)
    await settled(log, 1)

    for _ in range(5):
        scheduler.plan(work, 0.0)
    work.go_on.set()
    await settled(log, 2)

    assert (len(log), work.most) == (2, 1)


async def test_what_is_called_off_is_not_done(scheduler, clock):
    """Neither when it waits, nor once more when it is being done and meant to go on."""
    log = []
    waits, goes_on = Noted(clock, log), Noted(clock, log, waits=[1.0, 1.0])
    goes_on.go_on.clear()
    scheduler.plan(waits, 5.0)
    scheduler.call_off(waits)
    scheduler.plan(goes_on, 0.0)
    await settled(log, 1)

    scheduler.plan(goes_on, 0.0)
    scheduler.call_off(goes_on)
    goes_on.go_on.set()
    end = Noted(clock, log)
    scheduler.plan(end, 60.0)
    await settled(log, 2)

    assert [work for work, _ in log] == [goes_on, end]


async def test_what_is_called_off_is_not_kept(scheduler, clock):
    """A program that waits for a job after the other keeps none of the ends of its waits."""
    before = len(asyncio.all_tasks())
    waits = Noted(clock, [])
    scheduler.plan(waits, 1e6)
    for _ in range(1000):
        work = Noted(clock, [])
        scheduler.plan(work, 2e6)
        scheduler.call_off(work)
    assert len(scheduler._heap) < 10

    scheduler.call_off(waits)
    await settled([], 0)
    assert (len(scheduler._heap), len(asyncio.all_tasks())) == (0, before)


async def test_a_thousand_that_wait_have_no_task(scheduler, clock):
    """One of the crew looks at the clock for all of them."""
    before = len(asyncio.all_tasks())
    for number in range(1000):
        scheduler.plan(Noted(clock, []), 1e6 + number)
    await asyncio.sleep(0)

    assert len(asyncio.all_tasks()) - before <= 3


async def test_the_crew_is_limited(scheduler, clock):
    """However much is due; the rest is done as soon as somebody is free."""
    log = []
    works = [Noted(clock, log) for _ in range(3 * CREW)]
    for work in works:
        work.go_on.clear()
        scheduler.plan(work, 0.0)
    await settled(log, CREW)
    begun = len(log)
    for work in works:
        work.go_on.set()
    await settled(log, 3 * CREW)

    assert begun == CREW
    assert len(asyncio.all_tasks()) <= 2, "what has nothing to do is gone"


async def test_stopping_cancels_and_waits_for_the_end(scheduler, clock):
    """A purchase that is on its way is brought to its end; what others do goes on."""
    log = []
    stopped, other = Noted(clock, log), Noted(clock, log)
    stopped.go_on.clear()
    other.go_on.clear()
    scheduler.plan(stopped, 0.0)
    scheduler.plan(other, 0.0)
    await settled(log, 2)

    await scheduler.stop([stopped])

    assert (stopped.cut, stopped.running, other.cut, other.running) == (True, 0, False, 1)
    later = Noted(clock, log)
    scheduler.plan(later, 1.0)
    await settled(log, 3)
    assert log[-1][0] is later, "who was stopped goes on with other works"


async def test_a_step_that_breaks_takes_nothing_with_it(scheduler, clock, caplog):
    """It is told, and the others are done."""

    class Broken:
        due = None

        async def step(self):
            raise ValueError("no")

    log = []
    for _ in range(CREW + 5):
        scheduler.plan(Broken(), 0.0)
    scheduler.plan(Noted(clock, log), 0.0)
    await settled(log, 1)

    assert "a step failed" in caplog.text


async def test_closing_ends_everything(clock):
    """Nothing is left over."""
    before = len(asyncio.all_tasks())
    scheduler, log = Scheduler(clock), []
    held = Noted(clock, log)
    held.go_on.clear()
    scheduler.plan(held, 0.0)
    scheduler.plan(Noted(clock, log), 1e9)
    await settled(log, 1)

    await scheduler.close()

    assert held.cut
    assert len(asyncio.all_tasks()) == before
