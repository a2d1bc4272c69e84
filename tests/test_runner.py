"""Which jobs a runner steps, what ends them and what does not, and what it makes of odd answers."""

from __future__ import annotations

import logging
import time

import pytest

from kie_core import Clock, Kie, KieError, ReadFailed, SubmitUnknown, WrongState
from kie_core._ledger.entry import KEPT_SECONDS

pytestmark = pytest.mark.anyio
INPUTS = {"prompt": "cat"}
MODEL = "acme-sketch"
LOST = {"code": 502, "msg": "bad gateway"}


class SetClock(Clock):
    """A wall clock that somebody sets."""

    shift = 0.0

    def time(self):
        return time.time() + self.shift


# --- accounts ------------------------------------------------------------------------------


async def test_a_job_of_another_account_is_neither_bought_nor_read_nor_ended(fake, tmp_path):
    """The wrong key would pay, or not see the task and call it gone; the error says what to do."""
    async with fake.client() as ours, fake.client(account="another") as other:
        queued = await ours.enqueue(MODEL, INPUTS)
        running = await ours.submit(MODEL, INPUTS)
        fake.queries = [{"code": 422, "msg": "recordInfo is null"}]
        for step in (
            other.advance(queued.id),
            other.advance(running.job.id),
            (await other.task(running.job.id)).save(tmp_path),
            other.attach(running.handle).status(),
        ):
            with pytest.raises(WrongState, match=f"KIE_ACCOUNT={queued.account}"):
                await step
        faults = await other.drive(queued.id, running.job.id, wait_timeout=0)

        assert sorted(faults) == sorted([queued.id, running.job.id])
        assert [(await ours.entry(job)).state for job in (queued.id, running.job.id)] == ["queued", "running"]
    assert fake.creates == 1


async def test_one_job_is_not_bought_by_two_accounts(fake):
    """A program that goes on with a second key makes a second job."""
    fake.create = {"code": 402, "msg": "no credits"}
    async with fake.client() as ours, fake.client(account="another") as other:
        job = ours.job(MODEL, INPUTS)
        with pytest.raises(KieError):
            await ours.submit(job)
        fake.create = None
        with pytest.raises(WrongState, match="another account"):
            await other.submit(job)

    assert fake.creates == 1


# --- what ends a job -----------------------------------------------------------------------


async def test_a_broken_network_on_the_next_morning_ends_nothing(fake, tmp_path):
    """The deadline has passed, and the first question gets no answer: the next one finds the result."""
    clock = SetClock()
    async with fake.client(clock=clock) as kie:
        await kie.submit(MODEL, INPUTS)
    clock.shift = 12 * 3600.0
    fake.queries = [LOST]
    async with fake.client(clock=clock) as kie:
        await kie.recover(out=tmp_path / "out", wait_timeout=0)
        assert [entry.state for entry in await kie.jobs()] == ["running"]
    fake.queries = [{"state": "succeeded"}]
    async with fake.client(clock=clock) as kie:
        assert await kie.recover(out=tmp_path / "out") == {}

    assert len(list(tmp_path.joinpath("out").iterdir())) == 1


async def test_a_clock_that_is_set_forward_ends_nothing(fake):
    """While a program waits; its own patience goes by another clock."""
    clock = SetClock()
    async with fake.client(clock=clock) as kie:
        task = await kie.submit(MODEL, INPUTS)
        clock.shift = 3 * 3600.0
        fake.queries = [*[{"state": "running"}] * 5, {"state": "succeeded"}]

        assert (await task.wait()).state == "succeeded"


@pytest.mark.parametrize(("days", "state"), [(1, "succeeded"), (KEPT_SECONDS / 86400 + 1, "expired")])
async def test_what_was_given_up_is_looked_at_once_more(fake, days, state):
    """By whoever recovers, as long as Kie keeps results."""
    clock = SetClock()
    async with fake.client(clock=clock, job_deadline=0.001) as kie:
        task = await kie.submit(MODEL, INPUTS)
        await kie.drive(task.job.id)
        assert (await kie.entry(task.job.id)).state == "expired"
    clock.shift = days * 86400.0
    fake.queries = [{"state": "succeeded"}]
    async with fake.client(clock=clock) as kie:
        await kie.recover()

        assert (await kie.entry(task.job.id)).state == state


# --- odd answers ---------------------------------------------------------------------------


@pytest.fixture
def reporting(install, acme_source):
    """A plugin that hands on what Kie says of credits, files and states, as it stands."""
    source = acme_source.replace(
        'return Outcome(data["state"], tuple(Artifact("image", url) for url in data.get("urls", ())))',
        'return Outcome(data["state"], tuple(Artifact(data.get("kind", "image"), url) for url in data.get("urls", ())),'
        ' credits=data.get("credits"), remark=data.get("remark"))',
    )
    assert source != acme_source
    install("kie-acme", {"acme": "kie_reporting_test"}, {"kie_reporting_test": source})


@pytest.mark.parametrize("credits", ["6 credits", {}, [], True, 10**400])
async def test_a_price_that_is_no_number_counts_as_not_said(fake_vendor, reporting, credits):
    """The job costs what was planned, and the ledger can be read afterwards."""
    fake_vendor.queries = [{"state": "succeeded", "credits": credits}]
    async with fake_vendor.client() as kie:
        task = await kie.generate(MODEL, INPUTS)

        assert (await kie.entry(task.job.id)).spent == 150
        assert [entry.id for entry in await kie.jobs()] == [task.job.id]


async def test_an_outcome_that_cannot_be_kept_is_a_fault_of_the_plugin(fake_vendor, reporting):
    """It is not written; the task stays running, is paid, and can be read when the plugin is mended."""
    fake_vendor.queries = [{"state": "succeeded", "kind": "hologram"}]
    async with fake_vendor.client() as kie:
        task = await kie.submit(MODEL, INPUTS)
        faults = await kie.drive(task.job.id)
        assert "cannot be kept" in str(faults[task.job.id])
        assert (await kie.entry(task.job.id)).state == "running"
        fake_vendor.queries = [{"state": "succeeded"}]
        assert await kie.drive(task.job.id) == {}

        assert (await kie.entry(task.job.id)).state == "succeeded"


async def test_a_word_that_nobody_knows_is_told_once_whoever_asks(fake_vendor, reporting, caplog):
    """Of a model, not of each of its jobs."""
    fake_vendor.queries = [*[{"state": "running", "remark": "unknown state 'pondering'"}] * 6, {"state": "succeeded"}]
    async with fake_vendor.client() as kie:
        jobs = [(await kie.submit(MODEL, INPUTS)).job.id for _ in range(2)]
        await kie.drive(*jobs)

    assert sum("pondering" in record.message for record in caplog.records) == 1


async def test_an_error_of_ours_in_one_job_stops_no_other(fake, monkeypatch):
    """It is returned with the rest of what went wrong."""
    async with fake.client() as kie:
        broken, fine = (await kie.enqueue(MODEL, INPUTS)).id, (await kie.enqueue(MODEL, INPUTS)).id
        step = kie._opened.runner.advance

        async def advance(job):
            if job == broken:
                raise ZeroDivisionError("ours")
            return await step(job)

        monkeypatch.setattr(type(kie._opened.runner), "advance", lambda self, job, **_: advance(job))
        monkeypatch.setattr("kie_core._running.drive._FAILED_SECONDS", 0.1)
        faults = await kie.drive(broken, fine)

        assert {job: str(fault) for job, fault in faults.items()} == {broken: "ZeroDivisionError: ours"}
        assert (await kie.entry(fine)).state == "succeeded"


# --- records of other tasks ----------------------------------------------------------------

ANOTHER = {"state": "failed", "taskId": "another"}


@pytest.mark.parametrize("named", [{}, {"taskId": None}, {"taskId": "t1"}])
async def test_the_record_of_another_task_ends_nothing(fake, named):
    """It is no answer to our question, and what it came on is not used again; one that names no task is ours."""
    fake.queries = [{"state": "running", **named}, ANOTHER, {"state": "succeeded", **named}]
    async with fake.client() as kie:
        task = await kie.submit(MODEL, INPUTS)
        connections = fake.server.connections
        outcome = await task.wait()

    assert (outcome.state, fake.server.connections - connections) == ("succeeded", 2)


async def test_the_record_of_another_task_is_shown_to_nobody(fake):
    """However one asks: by the job, by a handle, or by Kie's own id."""
    async with fake.client() as kie:
        ours = await kie.submit(MODEL, INPUTS)
        handed = kie.attach(f"kie1:elsewhere:{MODEL}:dedicated:t9")
        found = await kie.find("t8", model=MODEL)
        fake.queries = [ANOTHER]
        for task in (ours, handed, found):
            for look in (task.status, task.record):
                with pytest.raises(ReadFailed, match="another task came, 'another'"):
                    await look()

        assert (await kie.advance(ours.job.id)).entry.state == "running"


async def test_a_task_id_is_the_same_as_a_number(fake):
    """Kie has sent both."""
    fake.create = {"code": 200, "msg": "success", "data": {"taskId": 77}}
    fake.queries = [{"state": "succeeded", "taskId": 77}]
    async with fake.client() as kie:
        assert (await kie.generate(MODEL, INPUTS)).outcome.state == "succeeded"


async def test_a_callback_is_not_believed_by_the_record_of_another_task(fake):
    """Though that is of the same prompt: it is looked into again."""
    fake.create = {"code": 500, "msg": "Server exception"}
    async with fake.client(callback_url="https://bot.example.com/kie") as kie:
        with pytest.raises(SubmitUnknown):
            await kie.submit(MODEL, INPUTS)
        (unknown,) = await kie.jobs("unknown")
        param = f'{{"callBackUrl": "{kie._opened.runner.planner.address_of(unknown)}"}}'
        fake.queries = [{"state": "running", "taskId": "t8", "param": param}]
        await kie.receive(job_id=unknown.id, task_id="t7", digest="1")
        await kie.recover(wait_timeout=0)
        assert (await kie.entry(unknown.id)).state == "unknown"
        fake.queries = [{"state": "running", "taskId": "t7", "param": param}]
        await kie.recover(wait_timeout=0)

        assert (await kie.entry(unknown.id)).task_id == "t7"


# --- adopting by hand ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("record", "error", "words"),
    [
        ({"code": 422, "msg": "recordInfo is null"}, WrongState, "does not know task tipo"),
        ({"state": "running", "param": '{"callBackUrl": "https://x.example/job-9/%s"}' % ("0" * 32)}, WrongState, "another job"),
        (LOST, ReadFailed, "bad gateway"),
        (ANOTHER, ReadFailed, "of another task came"),
    ],
)  # fmt: skip
async def test_a_slip_in_an_adoption_changes_nothing(fake, record, error, words):
    """Kie is asked first: the paid task would be out of reach afterwards."""
    fake.create = {"code": 500, "msg": "Server exception"}
    async with fake.client() as kie:
        with pytest.raises(SubmitUnknown):
            await kie.submit(MODEL, INPUTS)
        (unknown,) = await kie.jobs("unknown")
        fake.queries = [record]
        with pytest.raises(error, match=words):
            await kie.resolve(unknown.id, adopt_task="tipo")
        assert (await kie.entry(unknown.id)).state == "unknown"
        fake.queries = [{"state": "running"}]

        assert (await kie.resolve(unknown.id, adopt_task="right")).task_id == "right"


# --- former keys ---------------------------------------------------------------------------


async def test_callbacks_of_jobs_from_before_a_change_of_the_key_are_recognised(fake):
    """By the former key, which is a setting; without it they prove nothing, and are not thrown away."""
    former, present = "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"
    shared = {"account": "shop", "callback_url": "https://bot.example.com/kie", "base_url": fake.server.url}
    fake.create = {"code": 500, "msg": "Server exception"}
    async with Kie(former, **shared) as kie:
        with pytest.raises(SubmitUnknown):
            await kie.submit(MODEL, INPUTS)
        (unknown,) = await kie.jobs("unknown")
        address = kie._opened.runner.planner.address_of(unknown)
        token = address.rpartition("/")[2]
    fake.queries = [{"state": "running", "param": f'{{"callBackUrl": "{address}"}}'}]
    async with Kie(present, **shared) as kie:
        assert not kie.token_fits(unknown.id, token)
        await kie.receive(job_id=unknown.id, task_id="t7", digest="1")
        await kie.recover(wait_timeout=0)
        assert (await kie.entry(unknown.id)).state == "unknown"
    async with Kie(present, former_keys=former, **shared) as kie:
        assert kie.token_fits(unknown.id, token)
        await kie.recover(wait_timeout=0)

        assert (await kie.entry(unknown.id)).task_id == "t7"


# --- the log -------------------------------------------------------------------------------


async def test_whatever_the_applications_log_does_the_task_is_written_down_first(fake, caplog):
    """A filter that raises on every line from the moment that the vendor has the create."""
    raised = []

    class Odd(logging.Filter):
        def filter(self, record):
            if fake.creates:
                raised.append(record.getMessage())
                raise KeyError("tenant")
            return True

    caplog.set_level(logging.DEBUG)
    caplog.handler.addFilter(Odd())
    async with fake.client() as kie:
        try:
            await kie.submit(MODEL, INPUTS)
        except KeyError:
            pass  # it is the application's own
        finally:
            caplog.handler.filters.clear()

        assert raised
        assert [(entry.state, entry.task_id) for entry in await kie.jobs()] == [("running", "t1")]
