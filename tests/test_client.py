"""The client against a real loopback server, with an outsider's plugin: what it sends, what it raises, what it leaves behind."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
import threading

import httpx
import pytest

from kie_core import (
    InvalidJob,
    JobFailed,
    Kie,
    KieBlocking,
    Maintenance,
    NoKey,
    NotSent,
    Outcome,
    PluginFailed,
    ReadFailed,
    ReadRefused,
    Refused,
    Schedule,
    SubmitUnknown,
    Unauthorized,
    WaitTimeout,
    load_dispatcher,
    load_settings,
)

pytestmark = pytest.mark.anyio
KEY = "0123456789abcdef0123456789abcdef"
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 50
QUICK = Schedule(first=0.01, longest=0.02)


class FakeKie:
    """Answers creates and queries of the acme plugin; counts creates, which is what costs money."""

    def __init__(self, server, http_bytes):
        self.server, self.http_bytes = server, http_bytes
        self.create = {"code": 200, "msg": "success", "data": {"taskId": "t1"}}
        self.queries = [{"state": "running"}, {"state": "succeeded"}]

    async def answer(self, reader, writer):
        request = self.server.received[-1]
        if request.startswith(b"POST /acme/create"):
            body = self.create
        elif request.startswith(b"GET /api/v1/chat/credit"):
            body = {"code": 200, "msg": "success", "data": 12.5}
        elif request.startswith(b"GET /files/"):
            writer.write(self.http_bytes(PNG))
            return
        else:
            data = self.queries.pop(0) if len(self.queries) > 1 else self.queries[0]
            if data.get("state") == "succeeded":
                data = {**data, "urls": [f"{self.server.url}/files/a.png"]}
            body = data if "code" in data else {"code": 200, "msg": "success", "data": data}
        writer.write(self.http_bytes(body if isinstance(body, bytes) else json.dumps(body)))

    @property
    def creates(self):
        return sum(request.startswith(b"POST") for request in self.server.received)


@pytest.fixture
async def fake(raw_server, http_bytes, acme):
    made = FakeKie(raw_server, http_bytes)
    async with raw_server.answering(made.answer):
        yield made


def client(fake, **arguments):
    return Kie(KEY, base_url=fake.server.url, schedule=QUICK, **arguments)


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
            await kie.submit("acme-sketch", {"prompt": "cat"})

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
    """Nothing was bought the first time."""
    fake.create = {"code": 455, "msg": "closed"}
    async with client(fake) as kie:
        job = kie.job("acme-sketch", {"prompt": "cat"})
        with pytest.raises(Maintenance):
            await kie.submit(job)
        fake.create = {"code": 200, "data": {"taskId": "t2"}}
        task = await kie.submit(job)

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
    assert "the task goes on at Kie and is paid: kie1:" in caplog.text


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


async def test_a_client_is_opened_once_at_a_time(fake):
    """Two blocks on one object would close each other's connections."""
    async with client(fake) as kie:
        with pytest.raises(RuntimeError, match="open already"):
            async with kie:
                pass


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
async def test_whatever_a_hook_raises_while_reading_the_task_stays_paid(
    install, acme_source, raw_server, http_bytes, raised
):
    """No error after the purchase says that nothing was bought, and each names the task."""
    source = acme_source.replace("    data = record(body)", f"    import kie_core\n    raise kie_core.{raised}")
    install("kie-acme", {"acme": "kie_raising_test"}, {"kie_raising_test": source})
    fake = FakeKie(raw_server, http_bytes)
    async with raw_server.answering(fake.answer), client(fake) as kie:
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


async def test_credits(fake):
    """Decimals are exact."""
    async with client(fake) as kie:
        assert str(await kie.credits()) == "12.5"


async def test_questions_are_repeated_creates_are_not(acme, raw_server, http_bytes):
    """A 502 twice, then the balance."""
    answers = [http_bytes("<html>", status="502 Bad Gateway")] * 2 + [http_bytes('{"code": 200, "data": 3}')]

    async def behave(reader, writer):
        writer.write(answers[len(raw_server.received) - 1])

    import stamina

    async with raw_server.answering(behave), Kie(KEY, base_url=raw_server.url) as kie:
        with stamina.set_testing(True, attempts=3):
            assert await kie.credits() == 3

    assert len(raw_server.received) == 3


async def test_a_balance_that_is_none_is_a_failed_question(acme, raw_server, http_bytes):
    """True is not a number of credits."""

    async def behave(reader, writer):
        writer.write(http_bytes('{"code": 200, "data": true}'))

    import stamina

    async with raw_server.answering(behave), Kie(KEY, base_url=raw_server.url) as kie:
        with stamina.set_testing(True, attempts=1), pytest.raises(ReadFailed):
            await kie.credits()


async def test_the_payload_is_what_would_be_sent(fake):
    """Looked at before, compared with what went out."""
    async with client(fake, callback_url="https://bot.example/cb") as kie:
        payload = kie.payload("acme-sketch", {"prompt": "cat"})
        await kie.submit("acme-sketch", {"prompt": "cat"})

    sent = fake.server.received[0]
    assert json.loads(sent.partition(b"\r\n\r\n")[2]) == payload.body
    assert payload.url == f"{fake.server.url}/acme/create"
    assert (payload.model, payload.category, payload.wire, payload.params) == (
        "acme-sketch",
        "acme",
        "dedicated",
        {"prompt": "cat"},
    )


async def test_a_callers_transport_is_used_and_left_open(acme):
    """It is the caller's."""
    seen = []

    class Transport(httpx.AsyncBaseTransport):
        closed = False

        async def handle_async_request(self, request):
            seen.append(request.url.path)
            return httpx.Response(200, json={"code": 200, "data": {"taskId": "t1"}})

        async def aclose(self):
            self.closed = True

    transport = Transport()
    async with Kie(KEY, transport=transport) as kie:
        await kie.submit("acme-sketch", {"prompt": "cat"})

    assert seen == ["/acme/create"]
    assert not transport.closed


async def test_a_client_that_is_not_open_says_how_to_open_it(acme):
    """The usual slip."""
    with pytest.raises(RuntimeError, match="async with"):
        await Kie(KEY).submit("acme-sketch", {"prompt": "cat"})


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


def test_two_runs_of_asyncio_in_one_process(install, acme_source):
    """A client is bound to no global: each run may have its own, or the same object in turn."""
    install("kie-acme", {"acme": "kie_runs_test"}, {"kie_runs_test": acme_source})

    class Transport(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request):
            return httpx.Response(200, json={"code": 200, "data": {"taskId": "t1"}})

    kie = Kie(KEY, transport=Transport())

    async def once():
        async with kie:
            return (await kie.submit("acme-sketch", {"prompt": "cat"})).id

    assert [asyncio.run(once()), asyncio.run(once())] == ["t1", "t1"]


class Scripted(httpx.AsyncBaseTransport):
    """Answers a create, then running, then succeeded; usable from any loop."""

    def __init__(self):
        self.asked = 0

    async def handle_async_request(self, request):
        if request.method == "POST":
            return httpx.Response(200, json={"code": 200, "data": {"taskId": "t1"}})
        if request.url.path.endswith("credit"):
            return httpx.Response(200, json={"code": 200, "data": 7})
        self.asked += 1
        state = {"state": "running"} if self.asked % 2 else {"state": "succeeded", "urls": ["https://e.com/a.png"]}
        return httpx.Response(200, json={"code": 200, "data": state})


def blocking():
    return KieBlocking(KEY, transport=Scripted(), schedule=QUICK)


def test_the_blocking_client_does_the_same(acme):
    """generate, submit, updates, status, attach, credits, payload, models."""
    with blocking() as kie:
        task = kie.generate("acme-sketch", {"prompt": "cat"})
        again = kie.attach(kie.submit("acme-sketch", {"prompt": "cat"}).handle)

        assert task.outcome.urls == ("https://e.com/a.png",)
        assert [outcome.state for outcome in again.updates()] == ["running", "succeeded"]
        assert again.status().state == "succeeded"  # the first end counts, whatever comes later
        assert kie.credits() == 7
        assert kie.payload("acme-sketch", {"prompt": "cat"}).body == {"text": "cat"}
        assert kie.models("acme")[0].id == "acme-sketch"


async def test_the_blocking_client_works_inside_a_running_loop(acme):
    """Notebooks."""
    with blocking() as kie:
        assert kie.credits() == 7


def test_the_blocking_client_serves_many_threads(acme):
    """A web server's workers share one."""
    states = []
    with blocking() as kie:
        threads = [
            threading.Thread(target=lambda: states.append(kie.submit("acme-sketch", {"prompt": "cat"}).id))
            for _ in range(10)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert states == ["t1"] * 10


def test_the_blocking_client_leaves_no_thread_behind(acme):
    """Closed is closed."""
    with blocking() as kie:
        kie.credits()
        assert any(thread.name == "kie" for thread in threading.enumerate())

    assert not any(thread.name == "kie" for thread in threading.enumerate())
    with pytest.raises(RuntimeError, match="with KieBlocking"):
        kie.credits()


def test_updates_that_are_not_read_to_the_end_are_closed(acme):
    """A loop with a break."""
    with blocking() as kie:
        for outcome in kie.submit("acme-sketch", {"prompt": "cat"}).updates():
            assert outcome.state == "running"
            break


def test_not_sent_is_raised_as_such(acme):
    """Nothing listens there."""
    with KieBlocking(KEY, base_url="http://127.0.0.1:9") as kie, pytest.raises(NotSent):
        kie.submit("acme-sketch", {"prompt": "cat"})


class Slow(Scripted):
    """Takes its time for a create."""

    async def handle_async_request(self, request):
        if request.method == "POST":
            await asyncio.sleep(0.3)
        return await super().handle_async_request(request)


def test_closing_waits_for_creates_of_other_threads(acme):
    """They get their task, not an endless wait."""
    tasks = []
    with KieBlocking(KEY, transport=Slow(), schedule=QUICK) as kie:
        thread = threading.Thread(target=lambda: tasks.append(kie.submit("acme-sketch", {"prompt": "cat"}).id))
        thread.start()
        while not kie._buying:
            pass
    thread.join(timeout=10)

    assert tasks == ["t1"]


def test_ctrl_c_during_a_create_waits_for_the_answer_and_names_the_task(acme):
    """A real signal, in a process of its own."""
    code = """
import os, signal, threading, time
from kie_core import Interrupted, KieBlocking
import httpx, asyncio
class Slow(httpx.AsyncBaseTransport):
    async def handle_async_request(self, request):
        threading.Thread(target=lambda: (time.sleep(0.1), os.kill(os.getpid(), signal.SIGINT))).start()
        await asyncio.sleep(0.5)
        return httpx.Response(200, json={"code": 200, "data": {"taskId": "t1"}})
with KieBlocking("0123456789abcdef", transport=Slow()) as kie:
    try:
        kie.submit("acme-sketch", {"prompt": "a"})
    except Interrupted as interrupt:
        print(interrupt.handle)
"""
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environ, check=False, timeout=60
    )

    assert done.stdout.strip().endswith(":t1"), done.stderr
