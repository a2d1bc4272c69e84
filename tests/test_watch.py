"""Those who wait for a job: one question for all of them, and little work where nothing changed."""

from __future__ import annotations

import asyncio
import math
import time

import attrs
import pytest

from kie_core import ClientClosed, Clock, LedgerError, Pace, ReadFailed, ReadRefused, Schedule, WaitTimeout
from kie_core._pace import CALLED, CROWDED, USUAL
from kie_core._running.drive import drive
from kie_core._running.scheduler import CREW
from kie_core._running.step import Step
from kie_core._running.watch import Watcher
from kie_core._wait import WAIT_SECONDS

pytestmark = pytest.mark.anyio
INPUTS = {"prompt": "cat"}
MODEL = "acme-sketch"
QUICK = Schedule(first=0.01, longest=0.02)


def asked(fake):
    return sum(request.startswith(b"GET /acme/query") for request in fake.server.received)


def counted(ledger):
    """Count the transactions of a ledger from here on."""
    counts, run = [], ledger.database.run

    async def counting(work, *, write=True):
        counts.append(write)
        return await run(work, write=write)

    ledger.database.run = counting
    return counts


async def until(condition):
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def test_all_who_wait_share_the_questions(fake):
    """Ten who wait for one job ask as often as one, and all see its end."""
    fake.queries = [{"state": "running"}]
    async with fake.client(schedule=Schedule(first=0.1, longest=0.1)) as kie:
        task = await kie.submit(MODEL, INPUTS)
        waiting = [asyncio.create_task((await kie.task(task.job.id)).wait()) for _ in range(10)]
        await until(lambda: asked(fake) >= 8)
        seen = asked(fake)
        fake.queries = [{"state": "succeeded"}]
        outcomes = await asyncio.gather(*waiting)

    assert [outcome.state for outcome in outcomes] == ["succeeded"] * 10
    assert asked(fake) <= seen + 2


async def test_an_answer_like_the_last_one_costs_no_transaction(fake):
    """A hundred questions about a job that still runs touch no ledger."""
    fake.queries = [{"state": "running"}]
    async with fake.client() as kie:
        task = await kie.submit(MODEL, INPUTS)
        waiting = asyncio.create_task(task.wait())
        await until(lambda: asked(fake) >= 3)
        transactions = counted(kie._opened.runner.ledger)
        before = asked(fake)
        await until(lambda: asked(fake) >= before + 50)
        assert transactions == []

        fake.queries = [{"state": "succeeded"}]
        assert (await waiting).state == "succeeded"
        assert True in transactions


async def test_every_change_is_still_heard(fake):
    """What differs in one byte is read."""
    fake.queries = [
        *[{"state": "queued"}] * 3, *[{"state": "running"}] * 3, {"state": "queued"}, {"state": "succeeded"},
    ]  # fmt: skip
    async with fake.client() as kie:
        task = await kie.submit(MODEL, INPUTS)
        states = [outcome.state async for outcome in task.updates()]

    assert states == ["queued", "running", "queued", "succeeded"]


async def test_the_deadline_of_a_job_ends_it_though_the_answer_stays_the_same(fake):
    """A record that says "running" for ever is not waited for for ever."""
    fake.queries = [{"state": "running"}]
    async with fake.client(job_deadline=0.3) as kie:
        task = await kie.submit(MODEL, INPUTS)

        assert [outcome.state async for outcome in task.updates()] == ["running", "expired"]


async def test_who_comes_later_hears_how_it_stands(fake):
    """Though nothing has changed for those who waited before."""
    fake.queries = [{"state": "running"}]
    async with fake.client() as kie:
        task = await kie.submit(MODEL, INPUTS)
        first = asyncio.create_task(task.wait())
        await until(lambda: asked(fake) >= 5)

        async for outcome in (await kie.task(task.job.id)).updates():
            assert outcome.state == "running"
            break
        fake.queries = [{"state": "succeeded"}]
        assert (await first).state == "succeeded"


@pytest.mark.parametrize("seconds", [0.1, 30])
async def test_who_asks_seldom_does_not_make_others_wait(fake, seconds):
    """Neither while both wait for the job, nor when the patient one has left."""
    fake.queries = [{"state": "running"}]
    async with fake.client() as kie:
        task = await kie.submit(MODEL, INPUTS)
        waiting = asyncio.create_task(task.wait())
        await until(lambda: asked(fake) >= 2)

        async def patient():
            async for _ in (await kie.task(task.job.id)).updates(seconds, schedule=Schedule(first=600, longest=600)):
                pass

        other = asyncio.create_task(patient())
        await asyncio.sleep(0.2)
        fake.queries = [{"state": "succeeded"}]
        assert (await asyncio.wait_for(waiting, 10)).state == "succeeded"
        await asyncio.gather(other, return_exceptions=True)


async def test_with_the_last_who_waits_the_questions_end(fake):
    """Whoever gives up, in whatever way."""
    fake.queries = [{"state": "running"}]
    async with fake.client() as kie:
        task = await kie.submit(MODEL, INPUTS)
        cancelled = asyncio.create_task(task.wait())
        with pytest.raises(WaitTimeout):
            await (await kie.task(task.job.id)).wait(0.1)
        before = asked(fake)
        await until(lambda: asked(fake) >= before + 3)
        cancelled.cancel()
        await asyncio.gather(cancelled, return_exceptions=True)
        await asyncio.sleep(0.05)
        seen = asked(fake)
        await asyncio.sleep(0.2)

        assert asked(fake) == seen
        assert kie._opened.runner.reader.watcher._watches == {}


@pytest.mark.parametrize("seconds", [3600.0, math.inf])
async def test_news_of_another_part_of_the_program_end_the_wait(fake, seconds):
    """Somebody else asked, and saw the end: nobody waits for the next question, not even where there is none."""
    fake.queries = [{"state": "running"}]
    async with fake.client(schedule=Schedule(first=seconds, longest=seconds)) as kie:
        task = await kie.submit(MODEL, INPUTS)
        waiting = asyncio.create_task(task.wait())
        await until(lambda: kie._opened.runner.reader.watcher._watches)
        fake.queries = [{"state": "succeeded"}]
        await (await kie.task(task.job.id)).status()

        assert (await asyncio.wait_for(waiting, 10)).state == "succeeded"


async def test_what_ends_the_questions_is_raised_by_all_who_wait(fake):
    """A wrong key is nobody's secret."""
    fake.queries = [{"code": 401, "msg": "no"}]
    async with fake.client() as kie:
        task = await kie.submit(MODEL, INPUTS)
        waiting = [asyncio.create_task((await kie.task(task.job.id)).wait()) for _ in range(3)]
        errors = await asyncio.gather(*waiting, return_exceptions=True)

    assert [type(error) for error in errors] == [ReadRefused] * 3


async def test_who_still_waits_when_the_client_is_closed_is_told(fake):
    """Nobody hangs for ever; the task goes on."""
    fake.queries = [{"state": "running"}]
    async with fake.client() as kie:
        task = await kie.submit(MODEL, INPUTS)
        other = await kie.submit(MODEL, INPUTS)
        waiting = asyncio.create_task(task.wait())
        driving = asyncio.create_task(kie.drive(other.job.id))
        await until(lambda: asked(fake) >= 4)

    with pytest.raises(RuntimeError, match="the client was closed"):
        await asyncio.wait_for(driving, 10)
    with pytest.raises(ClientClosed) as caught:
        await asyncio.wait_for(waiting, 10)
    assert caught.value.handle == task.handle


async def test_who_bought_while_the_client_was_closed_does_not_wait_for_ever(fake):
    """The create gets its answer, but nobody asks about the task any more: the error names what was paid."""
    fake.queries = [{"state": "running"}]
    fake.go_on.clear()
    async with fake.client() as kie:
        buying = asyncio.create_task(kie.generate(MODEL, INPUTS, wait_timeout=math.inf))
        await fake.arrived.wait()
        asyncio.get_running_loop().call_later(0.05, fake.go_on.set)

    with pytest.raises(ClientClosed, match=r"the task goes on at Kie and is paid: .* kie save kie1:\S+:t1$") as caught:
        await asyncio.wait_for(buying, 10)
    assert kie._opened.runner is None
    fake.queries = [{"state": "succeeded"}]
    async with fake.client() as other:
        assert (await other.attach(caught.value.handle).wait()).state == "succeeded"
    assert fake.creates == 1


async def test_who_begins_to_wait_when_the_client_was_closed_is_told(fake):
    """Also who had come in before: nothing wakes a scheduler that has stopped."""
    async with fake.client() as kie:
        task = await kie.submit(MODEL, INPUTS)
        entry, runner = await kie.entry(task.job.id), kie._opened.runner

    with pytest.raises(ClientClosed, match=task.handle):
        await asyncio.wait_for(anext(runner.reader.follow(entry, math.inf, at_once=True)), 10)
    with pytest.raises(RuntimeError, match="the client was closed"):
        await asyncio.wait_for(kie._driven(runner, runner.read_on, [entry.id], math.inf), 10)


async def test_many_jobs_that_run_are_no_task_each(fake):
    """One heap, and a crew: the tasks do not grow with the jobs."""
    fake.queries = [{"state": "running"}]
    async with fake.client(concurrency=1000, schedule=Schedule(first=600.0, longest=600.0)) as kie:
        jobs = [(await kie.submit(MODEL, INPUTS)).job.id for _ in range(200)]
        driving = asyncio.create_task(kie.drive(*jobs))
        await until(lambda: len(kie._opened.runner.reader.watcher._watches) == len(jobs))
        crew = [task for task in asyncio.all_tasks() if "Scheduler" in task.get_coro().__qualname__]

        assert len(crew) <= CREW < len(jobs)
        driving.cancel()
        await asyncio.gather(driving, return_exceptions=True)


async def test_many_jobs_that_run_are_looked_up_together(fake):
    """Each takes one read of its own, with its first answer."""
    fake.queries = [{"state": "running"}]
    async with fake.client(concurrency=1000, schedule=Schedule(first=600.0, longest=600.0)) as kie:
        jobs = [(await kie.submit(MODEL, INPUTS)).job.id for _ in range(40)]
        counts, driving = counted(kie._opened.runner.ledger), asyncio.create_task(kie.drive(*jobs))
        await until(lambda: asked(fake) == len(jobs))
        await until(lambda: counts.count(False) > len(jobs))
        driving.cancel()
        await asyncio.gather(driving, return_exceptions=True)

    assert counts.count(False) == len(jobs) + 1


async def test_what_kie_called_about_is_looked_into_before_the_job_is_asked_about(fake):
    """By whoever drives the job, whoever took the call."""
    fake.queries = [{"state": "running"}]
    async with fake.client() as kie:
        task = await kie.submit(MODEL, INPUTS)
        ledger, entry = kie._opened.runner.ledger, await kie.entry(task.job.id)
        await ledger.receive(entry.account, entry.id, entry.task_id, "digest")
        fake.queries = [{"state": "running"}, {"state": "succeeded"}]
        await kie.drive(task.job.id)

        assert await ledger.callbacks(entry.account) == []


@pytest.mark.parametrize("times", [1, 4])
async def test_a_ledger_that_cannot_be_read_at_first_is_no_fault_of_the_drive(fake, monkeypatch, times):
    """Each job tries for itself, and tells for itself why it does not go on."""
    async with fake.client() as kie:
        jobs = [(await kie.submit(MODEL, INPUTS)).job.id for _ in range(3)]
        ledger = kie._opened.runner.ledger
        run, broken = ledger.database.run, [True] * times

        async def sometimes(work, *, write=True):
            if broken:
                broken.pop()
                raise LedgerError(ledger.database.place, "it is away", "wait", "busy")
            return await run(work, write=write)

        monkeypatch.setattr(ledger.database, "run", sometimes)
        faults = await kie.drive(*jobs)

        assert not broken
        assert {job: type(fault) for job, fault in faults.items()} == dict.fromkeys(
            jobs if times > 1 else (), LedgerError
        )
        state = "running" if times > 1 else "succeeded"
        assert [(await kie.entry(job)).state for job in jobs] == [state] * 3


@pytest.mark.parametrize("problem", [LedgerError("a place", "others hold it", "try again", "busy"), OSError("odd")])
async def test_a_ledger_that_others_hold_is_not_waited_for_once_for_each_page(fake, problem):
    """The time of a drive would be over long before. Every job is stepped all the same."""
    reads, looks = [], set()
    async with fake.client() as kie:
        entry = attrs.evolve(await kie.entry((await kie.submit(MODEL, INPUTS)).job.id), state="succeeded")

    async def running(job_ids):
        reads.append(len(job_ids))
        raise problem

    async def advance(job_id):
        looks.add(job_id)
        return Step(entry, entry.outcome)

    clock = QuickClock()
    watcher = Watcher(advance, clock, Pace(), 1000.0)
    assert await drive(watcher, advance, running, map(str, range(500)), clock, seconds=10.0, per_second=1000.0) == {}

    assert len(reads) == 1
    assert len(looks) == 500


@pytest.mark.parametrize("seconds", [0, 0.01, 0.05, 0.11])
async def test_when_the_time_is_up_a_first_look_is_heard_out(fake, raw_server, seconds):
    """However slow Kie is: every job is looked at once."""

    async def slowly(reader, writer):
        await asyncio.sleep(0.3)
        await fake.answer(reader, writer)

    fake.queries = [{"state": "succeeded"}]
    async with fake.client() as kie, raw_server.answering(slowly):
        tasks = [await kie.submit(MODEL, INPUTS) for _ in range(3)]
        kie._opened.network()._base_url = raw_server.url
        assert await kie.drive(*(task.job.id for task in tasks), wait_timeout=seconds) == {}

        assert [(await kie.entry(task.job.id)).state for task in tasks] == ["succeeded"] * 3


# --- how often ---------------------------------------------------------------------------------


class StillClock(Clock):
    """Time stands still."""

    def now(self):
        return 1000.0

    def time(self):
        return 1_700_000_000.0


async def test_all_questions_together_stay_within_the_budget(fake):
    """Many jobs are asked about less often each."""
    async with fake.client(polls_per_second=10, clock=StillClock(), schedule=Schedule(first=1, spread=0)) as kie:
        task = await kie.submit(MODEL, INPUTS)
        runner = await kie._opened.with_ledger()
        plan = (await kie.entry(task.job.id)).plan
        assert runner.reader.watcher.wait_for(plan, 1_700_000_000.0) == 1

        runner.reader.watcher._watches = dict.fromkeys(map(str, range(500)))
        assert runner.reader.watcher.wait_for(plan, 1_700_000_000.0) == 50
        runner.reader.watcher._watches = {}


async def test_a_crowd_is_asked_less_often_and_one_that_kie_calls_less_still(fake):
    """A question that hardly matters is not worth much."""
    async with fake.client(schedule=Pace(), clock=StillClock(), polls_per_second=100_000) as kie:
        watcher = (await kie._opened.with_ledger()).reader.watcher

        assert watcher._worth(Pace()) == USUAL
        watcher._watches = dict.fromkeys(map(str, range(5000)))
        assert watcher._worth(Pace()) == CROWDED
        watcher.called = True
        assert watcher._worth(Pace()) == CALLED
        assert watcher._worth(Pace(60.0)) == 60.0
        watcher._watches = {}


class QuickClock(Clock):
    """Time passes only by sleeping."""

    passed = 0.0

    def now(self):
        return self.passed

    async def sleep(self, seconds):
        await asyncio.sleep(0)
        self.passed += seconds


@pytest.mark.parametrize("state", ["queued", "succeeded"])
async def test_very_many_that_wait_for_their_turn_are_not_looked_at_all_the_time(fake, state):
    """To be sent, or to be saved: whoever looks five times a second at each of thousands, does nothing else."""
    looks = []
    async with fake.client() as kie:
        task = await kie.submit(MODEL, INPUTS)
        entry = attrs.evolve(await kie.entry(task.job.id), state=state)
    clock = QuickClock()

    async def advance(job_id):
        looks.append(job_id)
        return Step(entry, entry.outcome, 0.2)

    async def running(_):
        return []

    watcher = Watcher(advance, clock, Pace(), 1000.0)
    await drive(watcher, advance, running, map(str, range(2000)), clock, seconds=10.0, per_second=1000.0)

    assert len(looks) < 10_000


async def test_while_kie_says_later_nothing_is_asked(fake, raw_server, http_bytes):
    """Of all jobs, for as long as it says."""
    calls = []

    async def answer(reader, writer):
        if not raw_server.received[-1].startswith(b"GET /acme/query"):
            await fake.answer(reader, writer)
            return
        calls.append(time.monotonic())
        if len(calls) == 1:
            limited = {"status": "429 Too Many Requests", "headers": "Retry-After: 1\r\n"}
            writer.write(http_bytes('{"code": 429, "msg": "slow down"}', **limited))
        else:
            await fake.answer(reader, writer)

    fake.queries = [{"state": "succeeded"}]
    async with raw_server.answering(answer), fake.client() as kie:
        jobs = [await kie.submit(MODEL, INPUTS) for _ in range(5)]
        first = asyncio.create_task(jobs[0].wait())
        await until(lambda: calls)
        await asyncio.sleep(0.05)  # that its answer is read
        others = [asyncio.create_task(job.wait()) for job in jobs[1:]]
        await asyncio.gather(first, *others)

    assert len(calls) == 6
    assert calls[1] - calls[0] >= 0.9, "not a limit of speed: Kie asked for this second"


async def test_while_kie_says_later_a_drive_asks_nothing_either(fake, raw_server, http_bytes):
    """Whoever begins with very many jobs does not ask about each of them once."""

    async def limited(reader, writer):
        headers = "Retry-After: 600\r\n"
        writer.write(http_bytes('{"code": 429, "msg": "slow"}', status="429 Too Many Requests", headers=headers))

    async with fake.client() as kie:
        tasks = [await kie.submit(MODEL, INPUTS) for _ in range(20)]
        async with raw_server.answering(limited):
            kie._opened.network()._base_url = raw_server.url
            with pytest.raises(ReadFailed, match="slow"):
                await tasks[0].status()
            assert await kie.drive(*(task.job.id for task in tasks), wait_timeout=0.5) == {}

            assert asked(fake) == 1


async def test_what_was_learned_is_there_at_the_next_start(fake, tmp_path):
    """The first job teaches the second process."""
    created = 1_700_000_000_000
    done = {"state": "succeeded", "createTime": created, "completeTime": created + 8000}
    fake.queries = [done]
    place = str(tmp_path / "ledger.sqlite")
    async with fake.client(ledger=place, schedule=Pace()) as kie:
        task = await kie.submit(MODEL, INPUTS)
        plan = (await kie.entry(task.job.id)).plan
        first = kie._opened.runner.reader.watcher.remaining(plan, time.time())
        for _ in range(6):
            entry = await kie.entry((await kie.submit(MODEL, INPUTS)).job.id)
            await kie._opened.runner.reader.judged(entry, _succeeded(8.0))
        learned = kie._opened.runner.reader.watcher.remaining(plan, time.time())
    async with fake.client(ledger=place, schedule=Pace()) as kie:
        runner = await kie._opened.with_ledger()

        assert runner.reader.watcher.remaining(plan, time.time()) == pytest.approx(learned, rel=0.01)
    assert 7 < learned < 16 < first


@pytest.mark.usefixtures("in_haste")
async def test_a_task_says_how_long_it_will_take(fake):
    """Half of such tasks have ended by then; before anything is known of it, and when it has ended, nothing."""
    fake.queries = [{"state": "running"}]
    async with fake.client(schedule=Pace()) as kie:
        task = await kie.submit(MODEL, INPUTS)
        assert 30 < task.remaining() < 50
        fake.queries = [{"state": "succeeded"}]
        await task.wait(WAIT_SECONDS["image"])

        assert task.remaining() is None
    async with fake.client(schedule=QUICK) as kie:
        assert (await kie.submit(MODEL, INPUTS)).remaining() is None


def _succeeded(seconds):
    from kie_core import Artifact, Outcome

    return Outcome("succeeded", (Artifact("image", "https://e.com/a.png"),), seconds=seconds)
