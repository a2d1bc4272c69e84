"""The client against a real loopback server, with an outsider's plugin: what it sends, what it raises, what it leaves behind."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import math
import re
import sqlite3

import pytest

from kie_core import (
    Budget,
    Clock,
    InvalidJob,
    JobFailed,
    JobKeyTaken,
    Kie,
    KieBlocking,
    LedgerError,
    Maintenance,
    NoKey,
    NotSent,
    Outcome,
    OverBudget,
    PluginFailed,
    ReadRefused,
    Refused,
    Schedule,
    SubmitUnknown,
    Unauthorized,
    WaitTimeout,
    WrongState,
    load_dispatcher,
    load_settings,
)
from kie_core._ledger.entry import orphaned

pytestmark = pytest.mark.anyio

KEY = "0123456789abcdef0123456789abcdef"
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 50
QUICK = Schedule(first=0.01, longest=0.02)


def client(fake, **arguments):
    return fake.client(**arguments)


async def test_generate_submits_waits_and_saves(fake, tmp_path):
    """The main job: one create, then questions, then a file."""
    async with client(fake) as kie:
        task = await kie.generate("acme-sketch", {"prompt": "cat"})
        paths = await task.save(tmp_path)

    assert fake.creates == 1
    assert task.outcome.state == "succeeded"
    assert [path.read_bytes() for path in paths] == [PNG]


async def test_submit_returns_a_handle_at_once_and_attach_resumes_it(fake):
    """Another client, perhaps another process, goes on with nothing but the handle."""
    async with client(fake) as kie:
        handle = (await kie.submit("acme-sketch", {"prompt": "cat"})).handle
    async with client(fake) as other:
        outcome = await other.attach(handle).wait()

    assert outcome.state == "succeeded"
    assert fake.creates == 1


async def test_updates_yield_each_change(fake):
    """For progress bars."""
    fake.queries = [{"state": "queued"}, {"state": "running"}, {"state": "running"}, {"state": "succeeded"}]
    async with client(fake) as kie:
        task = await kie.submit("acme-sketch", {"prompt": "cat"})
        states = [outcome.state async for outcome in task.updates()]

    assert states == ["queued", "running", "succeeded"]


async def test_status_asks_once(fake):
    """No waiting."""
    async with client(fake) as kie:
        task = await kie.submit("acme-sketch", {"prompt": "cat"})

        assert await task.status() == Outcome("running") == task.outcome


async def test_a_failed_task_raises_with_kies_words(fake):
    """And names the handle."""
    fake.queries = [{"state": "failed"}]
    async with client(fake) as kie:
        with pytest.raises(JobFailed) as caught:
            await kie.generate("acme-sketch", {"prompt": "cat"})

    assert caught.value.handle.endswith(":t1")


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ({"code": 401, "msg": "no"}, Unauthorized),
        ({"code": 422, "msg": "bad"}, Refused),
        ({"code": 455, "msg": "closed"}, Maintenance),
        ({"code": 500, "msg": "Server exception"}, SubmitUnknown),
        (b"<html>", SubmitUnknown),
        ({"code": 200, "data": None}, SubmitUnknown),
    ],
)
async def test_a_create_is_never_repeated(fake, answer, kind):
    """Whatever comes back, one POST went out."""
    fake.create = answer
    async with client(fake) as kie:
        with pytest.raises(kind):
            await kie.submit("acme-sketch", {"prompt": "cat"}, wait_timeout=0)

    assert fake.creates == 1


async def test_an_unknown_submit_names_its_job(fake, caplog):
    """The handle without a task; the log says not to repeat it."""
    fake.create = {"code": 777}
    async with client(fake) as kie:
        job = kie.job("acme-sketch", {"prompt": "cat"})
        with pytest.raises(SubmitUnknown) as caught:
            await kie.submit(job)
        with pytest.raises(ValueError, match="a job is bought once"):
            await kie.submit(job)

    assert caught.value.handle == job.handle()
    assert "do not send it again" in caplog.text
    assert fake.creates == 1


async def test_a_job_that_was_refused_may_be_tried_again(fake):
    """Nothing was bought the first time; while Kie is closed nothing is sent."""
    fake.create = {"code": 455, "msg": "closed"}
    async with client(fake) as kie:
        job = kie.job("acme-sketch", {"prompt": "cat"})
        with pytest.raises(Maintenance):
            await kie.submit(job, wait_timeout=0)
        fake.create = None
        with pytest.raises(NotSent, match="closed"):
            await kie.submit(job, wait_timeout=0)
        assert fake.creates == 1
        assert await kie.open_gate()
        task = await kie.submit(job, wait_timeout=0)

    assert task.id == "t2"


async def test_invalid_inputs_send_nothing(fake):
    """Checked before the first byte."""
    async with client(fake) as kie:
        with pytest.raises(InvalidJob):
            await kie.submit("acme-sketch", {"prompt": "cat", "unknown": 1})

    assert fake.server.received == []


async def test_without_a_key_nothing_is_sent(fake):
    """The error says where to get one."""
    async with Kie(base_url=fake.server.url) as kie:
        with pytest.raises(NoKey, match="KIE_API_KEY"):
            await kie.submit("acme-sketch", {"prompt": "cat"})

    assert fake.server.received == []


async def test_a_cancelled_submit_waits_for_the_answer(fake, caplog):
    """A task whose id nobody read is paid and lost."""
    caplog.set_level(logging.INFO, "kie_core")
    arrived = asyncio.Event()
    answer = fake.answer

    async def slow(reader, writer):
        arrived.set()
        await asyncio.sleep(0.1)
        await answer(reader, writer)

    async with fake.server.answering(slow), client(fake) as kie:
        submitting = asyncio.create_task(kie.submit("acme-sketch", {"prompt": "cat"}))
        await arrived.wait()
        submitting.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await submitting

    assert "accepted as task t1" in caplog.text
    assert caught.value.__notes__[0].endswith(":t1")


async def test_a_submit_that_is_cancelled_again_and_again_still_waits(fake, caplog):
    """Some frameworks cancel until a task gives in; this one has money on the way."""
    caplog.set_level(logging.INFO, "kie_core")
    arrived, answer = asyncio.Event(), fake.answer

    async def slow(reader, writer):
        arrived.set()
        await asyncio.sleep(0.2)
        await answer(reader, writer)

    async with fake.server.answering(slow), client(fake) as kie:
        submitting = asyncio.create_task(kie.submit("acme-sketch", {"prompt": "cat"}))
        await arrived.wait()
        while not submitting.done():
            submitting.cancel()
            await asyncio.sleep(0.01)

    assert submitting.cancelled()
    assert "the task goes on at Kie and is paid: kie save kie1:" in caplog.text


@pytest.mark.parametrize("code", [401, 402])
async def test_a_question_that_is_refused_never_says_that_nothing_was_bought(fake, code):
    """The task is paid, and its handle is in the error."""
    fake.queries = [{"code": code, "msg": "no"}]
    async with client(fake) as kie:
        with pytest.raises(ReadRefused) as caught:
            await kie.generate("acme-sketch", {"prompt": "cat"})

    assert caught.value.handle.endswith(":t1")
    assert "nothing was bought" not in str(caught.value)


async def test_a_plugin_that_cannot_read_names_the_task(fake):
    """It is paid, whatever the plugin does."""
    fake.queries = [{"no state": 1}]
    async with client(fake) as kie:
        with pytest.raises(PluginFailed) as caught:
            await kie.generate("acme-sketch", {"prompt": "cat"})

    assert caught.value.handle.endswith(":t1")


async def test_a_success_without_a_result_is_not_the_end(fake, tmp_path):
    """status() keeps nothing that a later answer improves."""
    async with client(fake) as kie:
        task = await kie.submit("acme-sketch", {"prompt": "cat"})
        fake.queries = [{"code": 200, "data": {"state": "succeeded"}}, {"state": "succeeded"}]
        assert (await task.status()).artifacts == ()
        paths = await task.save(tmp_path)

    assert len(paths) == 1


async def test_a_job_brings_its_own_inputs(fake):
    """Others beside it would be ignored, and paid."""
    async with client(fake) as kie:
        job = kie.job("acme-sketch", {"prompt": "cat"})
        with pytest.raises(TypeError, match="carries its own inputs"):
            await kie.submit(job, {"prompt": "dog"})
        with pytest.raises(ValueError, match="read back, not bought"):
            await kie.submit(kie.attach(job.handle("t1")).job)

    assert fake.creates == 0


@pytest.mark.parametrize("seconds", [-1, float("nan")])
async def test_a_wait_of_no_length_is_an_error(fake, seconds):
    """And 0 is not taken for the default."""
    async with client(fake) as kie:
        task = await kie.submit("acme-sketch", {"prompt": "cat"})
        with pytest.raises(ValueError, match="expected seconds"):
            await task.wait(seconds)
        with pytest.raises(WaitTimeout):
            await task.wait(0)
        with pytest.raises(ValueError, match="expected seconds"):
            await kie.generate("acme-sketch", {"prompt": "cat"}, wait_timeout=seconds)

    assert fake.creates == 1


async def test_half_an_answer_with_a_task_id_gives_a_handle_that_can_be_read(fake, caplog):
    """Unknown, but not lost: the error and the log both name the task."""
    fake.create = {"code": 501, "data": {"taskId": "t1"}}
    async with client(fake) as kie:
        with pytest.raises(SubmitUnknown) as caught:
            await kie.submit("acme-sketch", {"prompt": "cat"})
        outcome = await kie.attach(caught.value.handle).wait()

    assert caught.value.handle in caplog.text
    assert outcome.state == "succeeded"


@pytest.mark.parametrize("end", ["cancelled", "ledger", "bug"])
async def test_whatever_ends_a_generate_after_the_purchase_names_the_task(fake, monkeypatch, end):
    """Its caller has nothing else: an error that has no place for a handle has a note."""
    fake.queries = [{"state": "running"}]
    errors = {"ledger": LedgerError("ledger.sqlite", "it is locked", "try again"), "bug": ZeroDivisionError("ours")}
    async with client(fake) as kie:
        buying = asyncio.create_task(kie.generate("acme-sketch", {"prompt": "cat"}))
        while len(fake.server.received) < 3:  # noqa: ASYNC110 - what others do is looked at from outside
            await asyncio.sleep(0.005)
        (entry,) = await kie.jobs()
        if end == "cancelled":
            buying.cancel()
        else:

            async def broken(*_):
                raise errors[end]

            monkeypatch.setattr(type(kie._opened.runner.reader), "judged", broken)
            fake.queries = [{"state": "succeeded"}]
        with pytest.raises((asyncio.CancelledError, LedgerError, ZeroDivisionError)) as caught:
            await buying

    said = str(caught.value) if end == "ledger" else caught.value.__notes__[0]
    assert f"the task goes on at Kie and is paid: kie save {entry.handle()}" in said


async def test_a_caller_who_is_cancelled_already_buys_nothing(fake):
    """The cancellation was there before the first byte."""
    async with client(fake) as kie:
        submitting = asyncio.create_task(kie.submit("acme-sketch", {"prompt": "cat"}))
        submitting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await submitting
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await kie.submit("acme-sketch", {"prompt": "cat"})

    assert fake.creates == 0


async def test_what_seemed_gone_may_come_back(fake):
    """Our own patience ended, the task did not."""
    async with client(fake) as kie:
        task = await kie.submit("acme-sketch", {"prompt": "cat"})
        task.outcome = Outcome("expired")
        fake.queries = [{"state": "succeeded"}]

        assert (await task.wait()).state == "succeeded"


@pytest.mark.parametrize("raised", ["NotSent('x')", "InvalidJob('m', ())"])
async def test_whatever_a_hook_raises_while_reading_the_task_stays_paid(install, acme_source, fake_vendor, raised):
    """No error after the purchase says that nothing was bought, and each names the task."""
    source = acme_source.replace("    data = record(body)", f"    import kie_core\n    raise kie_core.{raised}")
    install("kie-acme", {"acme": "kie_raising_test"}, {"kie_raising_test": source})
    async with client(fake_vendor) as kie:
        task = await kie.submit("acme-sketch", {"prompt": "cat"})
        with pytest.raises(PluginFailed) as caught:
            await task.status()

    assert caught.value.handle == task.handle


async def test_many_jobs_at_once(fake):
    """Concurrency needs nothing special."""
    async with client(fake) as kie:
        tasks = await asyncio.gather(*(kie.generate("acme-sketch", {"prompt": "cat"}) for _ in range(20)))

    assert fake.creates == 20
    assert len({task.handle for task in tasks}) == 20


COUNTED = """
from kie_core import hookimpl
asked = []

def register_models():
    asked.append(1)
    return []

@hookimpl
def job_accepted(job, task_id):
    pass
"""


async def test_a_plugin_is_asked_for_its_models_once_per_process(install):
    """However many clients share a dispatcher, or have one of their own."""
    install("kie-counted", {"counted": "kie_counted_test"}, {"kie_counted_test": COUNTED})
    dispatcher = load_dispatcher(load_settings())
    import kie_counted_test

    async with Kie(dispatcher=dispatcher) as first, Kie(KEY, dispatcher=dispatcher) as second:
        with KieBlocking(dispatcher=dispatcher) as third:
            assert first.registry is second.registry is third.registry
    assert len(kie_counted_test.asked) == 1

    async with Kie():
        assert len(kie_counted_test.asked) == 1


async def test_the_payload_is_what_would_be_sent(fake):
    """Looked at before, compared with what went out."""
    async with client(fake, callback_url="https://bot.example/cb") as kie:
        payload = kie.payload("acme-sketch", {"prompt": "cat"})
        await kie.submit("acme-sketch", {"prompt": "cat"})

    sent = json.loads(fake.server.received[0].partition(b"\r\n\r\n")[2])
    assert {**sent, "callBackUrl": ""} == {**payload.body, "callBackUrl": ""}
    assert payload.body["callBackUrl"].endswith("/***")
    assert re.fullmatch(r"https://bot.example/cb/[0-9a-f]{16}/[0-9a-f]{32}", sent["callBackUrl"])
    assert payload.url == f"{fake.server.url}/acme/create"
    assert (payload.model, payload.category, payload.wire, payload.params) == (
        "acme-sketch",
        "acme",
        "dedicated",
        {"prompt": "cat"},
    )


def test_an_unknown_setting_is_an_error():
    """Not swallowed."""
    with pytest.raises(TypeError, match="unknown setting 'base_ulr'"):
        Kie(base_ulr="https://x")
    with pytest.raises(TypeError, match="not both"):
        Kie("k", settings=load_settings())


async def test_plugins_can_be_loaded_once_for_many_clients(acme):
    """A web app with a key per user."""
    dispatcher = load_dispatcher(load_settings())

    assert Kie(KEY, dispatcher=dispatcher).dispatcher is Kie("other-key", dispatcher=dispatcher).dispatcher


async def test_nothing_shows_the_key(fake, caplog):
    """Reprs, logs at DEBUG, errors."""
    caplog.set_level(logging.DEBUG)
    fake.create = {"code": 401, "msg": f"bad key {KEY}"}
    async with client(fake) as kie:
        with pytest.raises(Unauthorized) as caught:
            await kie.submit("acme-sketch", {"prompt": "cat"})

    assert KEY not in f"{caplog.text} {caught.value} {caught.value!r} {kie!r} {kie.settings!r} {vars(kie)!r}"


# --- keys, budgets, the ledger -----------------------------------------------------------


async def test_the_same_key_and_the_same_inputs_are_the_same_job(fake):
    """In this client and in the next: a script that runs twice buys once."""
    async with client(fake) as kie:
        first = await kie.submit("acme-sketch", {"prompt": "cat"}, job_key="order-17")
        again = await kie.submit("acme-sketch", {"prompt": "cat"}, job_key="order-17")
    async with client(fake) as other:
        later = await other.generate("acme-sketch", {"prompt": "cat"}, job_key="order-17")

    assert {first.handle, again.handle, later.handle} == {first.handle}
    assert later.outcome.state == "succeeded"
    assert fake.creates == 1


async def test_the_same_key_with_other_inputs_is_an_error(fake):
    """Nothing is sent, and the message names both."""
    async with client(fake) as kie:
        task = await kie.submit("acme-sketch", {"prompt": "cat"}, job_key="order-17")
        with pytest.raises(JobKeyTaken, match=task.job.id):
            await kie.submit("acme-sketch", {"prompt": "dog"}, job_key="order-17")

    assert fake.creates == 1


async def test_a_key_under_which_nothing_was_bought_may_be_used_again(fake):
    """With a larger budget, too: the new one counts."""
    async with client(fake) as kie:
        with pytest.raises(OverBudget, match="1.00 RUB for user:7"):
            await kie.submit("acme-sketch", {"prompt": "cat"}, job_key="k", budget=Budget(None, 1, "user:7"))
        task = await kie.submit("acme-sketch", {"prompt": "cat"}, job_key="k", budget=Budget(None, 2, "user:7"))
        balance = next(one for one in await kie.balances() if one.scope == "user:7")

    assert task.id == "t1"
    assert (balance.cap, balance.reserved, balance.spent) == (200, 150, 0)


async def test_a_scope_that_is_named_twice_is_booked_once(fake):
    """The lower of the two limits counts."""
    two = [Budget(max_total_rub=10, scope="user:7"), Budget(max_total_rub=2, scope="user:7")]
    async with client(fake, budget=two[0]) as kie:
        await kie.submit("acme-sketch", {"prompt": "cat"}, budget=two[1])
        with pytest.raises(OverBudget):
            await kie.submit("acme-sketch", {"prompt": "dog"}, budget=two[1])
        balance = next(one for one in await kie.balances() if one.scope == "user:7")

    assert balance.reserved == 150
    assert fake.creates == 1


async def test_one_price_has_a_limit_of_its_own(fake):
    """Whatever is left of the total."""
    async with client(fake, budget=Budget(max_price_rub=1)) as kie:
        with pytest.raises(OverBudget, match="more than the 1.00 RUB"):
            await kie.submit("acme-sketch", {"prompt": "cat"})

    assert fake.creates == 0


async def test_a_queued_job_waits_for_whoever_drives_it(fake, tmp_path):
    """Queued by one client, bought, waited for and saved by another."""
    async with client(fake) as kie:
        entry = await kie.enqueue("acme-sketch", {"prompt": "cat"}, job_key="row-1", out=tmp_path)
        assert (entry.state, fake.creates) == ("queued", 0)
    async with client(fake) as other:
        assert await other.drive() == {}
        done = await other.entry(entry.id)

    assert (done.state, done.unsaved) == ("succeeded", False)
    assert done.saved[0].path.read_bytes() == PNG
    assert fake.creates == 1


async def test_recovery_reads_and_saves_and_never_buys(fake, tmp_path):
    """What is queued stays queued."""
    async with client(fake) as kie:
        await kie.submit("acme-sketch", {"prompt": "cat"})
        queued = await kie.enqueue("acme-sketch", {"prompt": "dog"})
    async with client(fake) as later:
        assert await later.recover(out=tmp_path / "out") == {}
        assert [entry.state for entry in await later.jobs()] == ["queued", "succeeded"]
        assert await later.jobs(unsaved=True) == []
        assert (await later.cancel(queued.id)).state == "cancelled"

    assert fake.creates == 1
    assert len(list(tmp_path.joinpath("out").iterdir())) == 1


async def test_an_unknown_job_is_decided_by_a_person(fake):
    """Adopted, denied or written off; each says what becomes of the money."""
    fake.create = {"code": 500, "msg": "Server exception"}
    fake.queries = [{"state": "running"}]
    async with client(fake) as kie:
        for _ in range(3):
            with pytest.raises(SubmitUnknown):
                await kie.submit("acme-sketch", {"prompt": "cat"})
        adopted, denied, given_up = [entry.id for entry in await kie.jobs("unknown")]
        with pytest.raises(WrongState, match="kie jobs resolve"):
            await kie.cancel(adopted)
        states = [
            (await kie.resolve(adopted, adopt_task="t9")).state,
            (await kie.resolve(denied, not_sent=True)).state,
            (await kie.resolve(given_up, abandon=True)).state,
        ]
        account = (await kie.balances())[0]
        with pytest.raises(WrongState):
            await kie.resolve(denied, abandon=True)
        with pytest.raises(WrongState, match="cannot cancel"):
            await kie.cancel(adopted)

    assert states == ["running", "not_submitted", "abandoned"]
    assert (account.reserved, account.spent) == (150, 150)


async def test_what_was_typed_can_be_forgotten(fake):
    """Price, state and results stay."""
    async with client(fake) as kie:
        task = await kie.generate("acme-sketch", {"prompt": "a secret wish"})
        assert (await kie.entry(task.handle)).inputs.params == {"prompt": "a secret wish"}
        await kie.forget(task.job.id)
        entry = await kie.entry(task.job.id)

    assert (entry.inputs, entry.state) == (None, "succeeded")


async def test_inputs_stay_out_of_the_ledger_if_so_wished(fake, tmp_path):
    """And the job is bought all the same."""
    place = tmp_path / "ledger.sqlite"
    async with client(fake, ledger=str(place), ledger_prompts=False) as kie:
        task = await kie.generate("acme-sketch", {"prompt": "a secret wish"})

    assert task.outcome.state == "succeeded"
    assert b"secret wish" not in place.read_bytes()


async def test_a_job_that_waits_already_takes_the_limits_of_who_asks_again(fake):
    """Else a key would be a way around a budget."""
    async with client(fake) as kie:
        await kie.enqueue("acme-sketch", {"prompt": "cat"}, job_key="k")
        with pytest.raises(OverBudget, match="user:7"):
            await kie.submit("acme-sketch", {"prompt": "cat"}, job_key="k", budget=Budget(None, 1, "user:7"))
        waiting = (await kie.jobs())[0]

    assert (waiting.state, waiting.kept) == ("queued", True)
    assert fake.creates == 0


async def test_a_job_that_was_sent_without_a_key_cannot_be_given_one(fake):
    """The key would stand nowhere, and the next who uses it would pay again."""
    async with client(fake) as kie:
        job = kie.job("acme-sketch", {"prompt": "cat"})
        await kie.submit(job)
        with pytest.raises(JobKeyTaken):
            await kie.submit(job, job_key="order")

    assert fake.creates == 1


@pytest.mark.parametrize("seconds", [-1, math.nan])
async def test_a_drive_that_would_end_before_it_begins_or_never_is_refused(fake, seconds):
    """A time that is no time is said to be none, before anything is bought."""
    async with client(fake) as kie:
        entry = await kie.enqueue("acme-sketch", {"prompt": "cat"})
        with pytest.raises(ValueError, match="wait_timeout"):
            await asyncio.wait_for(kie.drive(entry.id, wait_timeout=seconds), 10)

    assert fake.creates == 0


@pytest.mark.parametrize("seconds", [0, 1])
async def test_when_the_time_of_a_drive_is_up_nothing_more_is_bought(fake, seconds):
    """Not even for those that have a place in the queue of creates: they stay queued, without a price reserved."""
    async with client(fake, creates_per_10_seconds=1) as kie:
        for number in range(4):
            await kie.enqueue("acme-sketch", {"prompt": f"cat {number}"})
        await asyncio.wait_for(kie.drive(wait_timeout=seconds), 8)
        states = sorted(entry.state for entry in await kie.jobs())

    assert (fake.creates, states[:3]) == (1, ["queued"] * 3)


async def test_a_task_id_is_kept_beside_a_ledger_that_lost_its_job(fake, tmp_path, caplog):
    """Somebody put an older file in its place, between the intent and the answer."""
    place, answer = tmp_path / "ledger.sqlite", fake.answer

    async def forgetting(reader, writer):
        with contextlib.closing(sqlite3.connect(place, isolation_level=None)) as connection:
            connection.execute("DELETE FROM job")
        await answer(reader, writer)

    async with fake.server.answering(forgetting), client(fake, ledger=str(place), clock=Quick()) as kie:
        task = await kie.submit("acme-sketch", {"prompt": "cat"})

    spilt = b"".join(path.read_bytes() for path in tmp_path.glob("ledger.sqlite.spill-*"))
    assert task.id == "t1"
    assert b'"task_id": "t1"' in spilt
    assert "is task t1" in caplog.text


class Quick(Clock):
    """Waits for nothing."""

    async def sleep(self, seconds):
        await asyncio.sleep(0)


async def test_a_refusal_counts_though_its_process_was_taken_for_dead(fake):
    """Nothing was bought, so nothing stays reserved."""
    fake.create = {"code": 422, "msg": "bad"}
    answer = fake.answer
    async with client(fake) as kie:

        async def slow(reader, writer):
            ledger = (await kie._opened.with_ledger()).ledger
            [entry] = await ledger.find("submitting")
            await ledger.change(entry, orphaned)
            await answer(reader, writer)

        async with fake.server.answering(slow):
            kie._opened.network()._base_url = fake.server.url
            with pytest.raises(Refused, match="bad"):
                await kie.submit("acme-sketch", {"prompt": "cat"})
        [entry] = await kie.jobs()
        account = (await kie.balances())[0]

    assert (entry.state, account.reserved, account.spent) == ("not_submitted", 0, 0)
