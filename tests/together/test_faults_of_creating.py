"""What goes wrong while a job is bought: the connection, the answer, the account. Each of 58 faults has its number."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
import subprocess

import httpx
import pytest

from kie_core import Kie, Maintenance, NotSent, OutOfCredits, RateLimited, Refused, SubmitUnknown, Unauthorized

pytestmark = pytest.mark.anyio
KEY = "0123456789abcdef0123456789abcdef"
MODEL = "gpt-4o-image"
PRICE = 3933
INPUTS = {"prompt": "a cat"}
both = pytest.mark.parametrize("kept", [False, True], ids=["waiting", "kept"])


async def ends_unknown(scene, kept, *faults, found=False, **settings):
    """Buy once under *faults*; check that the job stays unknown, and return what the waiting caller was told."""
    scene.vendor.faults.add(*faults)
    async with scene.client(**settings) as kie:
        job_id, error = await scene.attempt(kie, kept=kept)
        scene.vendor.faults.clear()

        await scene.stays_unknown(kie, job_id, found=found)
    assert kept or isinstance(error, SubmitUnknown)
    return error


async def is_accepted(scene, kept, *faults):
    """Buy once under *faults*, which do not matter."""
    scene.vendor.faults.add(*faults)
    async with scene.client() as kie:
        job_id, error = await scene.attempt(kie, kept=kept)

        assert error is None
        assert await scene.standing(kie, job_id) == ("running", PRICE)
        assert (await kie.entry(job_id)).task_id in scene.vendor.tasks
    assert scene.vendor.posts == len(scene.vendor.creates) == 1


# --- before a byte is sent --------------------------------------------------------------


@contextlib.contextmanager
def deaf_port():
    """A port that nobody else gets, and on which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


async def is_never_sent(scene, clock, base_url, words):
    """A waiting caller is told and the job ends; a kept one goes back, and after five the account's gate is closed."""
    async with scene.client(base_url=base_url) as kie:
        job_id, error = await scene.attempt(kie, kept=False)
        assert isinstance(error, NotSent)
        assert words in str(error)
        await scene.has_ended(kie, job_id)
        kept, _ = await scene.attempt(kie, kept=True)
        entry = await kie.entry(kept)
        assert entry.not_before > clock.time()
        for _ in range(3):
            await scene.is_back_in_the_queue(kie, kept)
            assert not await kie.gates()
            await clock.sleep(30)
            await kie.advance(kept)
        await scene.is_back_in_the_queue(kie, kept)
        (gate,) = await kie.gates()
        assert (gate.kind, words in gate.reason) == ("fault", True)


async def test_a_host_that_has_no_address_costs_nothing(scene, clock):  # 1
    """Nothing was sent: the job goes back, later each time, and after five in a row the account's gate closes."""
    await is_never_sent(scene, clock, "https://nothing.invalid", "ConnectError")


async def test_a_waiting_caller_gives_up_a_host_without_address_after_five_tries(scene):  # 1
    """However long it would wait."""
    async with scene.client(base_url="https://nothing.invalid") as kie:
        job = kie.job(MODEL, INPUTS)
        with pytest.raises(NotSent, match=r"nothing\.invalid"):
            await kie.submit(job, wait_timeout=600)

        assert [event.state for event in await kie.history(job.id)].count("submitting") == 5
        await scene.has_ended(kie, job.id)


async def test_a_refused_connection_costs_nothing(scene, clock):  # 2
    """The same where nobody listens."""
    with deaf_port() as url:
        await is_never_sent(scene, clock, url, "ConnectError")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """Self-signed certificates and keys, of this machine and of another name."""
    folder = tmp_path_factory.mktemp("certificates")
    made = {}
    for name, alternative in (("here", "IP:127.0.0.1"), ("elsewhere", "DNS:elsewhere.example")):
        words = (
            f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN={name}"
            f" -addext subjectAltName={alternative} -keyout {folder}/{name}.key -out {folder}/{name}.pem"
        )
        try:
            subprocess.run(words.split(), check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"no openssl here: {error}")
        made[name] = folder / f"{name}.pem", folder / f"{name}.key"
    return made


@contextlib.asynccontextmanager
async def tls_server(certificate):
    """A server that answers whatever is asked over TLS; yields its URL and the list of what it was sent."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    received = []

    async def answer(reader, writer):
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            received.append(await reader.readuntil(b"\r\n\r\n"))
            body = b'{"code": 200, "msg": "success", "data": {"taskId": "t1"}}'
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    async with server:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}", received


async def test_a_certificate_that_nobody_vouches_for_costs_nothing(scene, clock, certificates):  # 2
    """Nothing is sent to such a host, the gate says why, and there is no way to look away."""
    async with tls_server(certificates["here"]) as (url, received):
        await is_never_sent(scene, clock, url, "certificate verify failed")

    assert received == []


@pytest.mark.parametrize("name", ["here", "elsewhere"])
async def test_a_certificate_must_be_of_the_host(scene, certificates, name, monkeypatch):  # 2
    """Trusted or not: that of another host proves nothing; the right one does."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates[name][0]))
    async with tls_server(certificates[name]) as (url, received), scene.client(base_url=url) as kie:
        job_id, error = await scene.attempt(kie, kept=False)

        assert (error is None, len(received)) == ((True, 1) if name == "here" else (False, 0))
        assert (await kie.entry(job_id)).state == ("running" if name == "here" else "cancelled")


async def test_a_create_never_waits_for_a_place(scene, vendor, clock, until):  # 3
    """While as many questions are in flight as there may be, a create goes out on a connection of its own."""
    async with scene.client() as kie:
        first = await kie.submit(MODEL, INPUTS)
        await clock.sleep(1)  # the turn of the second one has come
        vendor.faults.add("query-silent")
        questions = [asyncio.create_task(first.status()) for _ in range(40)]
        await until(lambda: vendor.asked("record-info") >= 32)

        second = await kie.submit(MODEL, {"prompt": "a dog"}, wait_timeout=0)

        for question in questions:
            question.cancel()
        await asyncio.gather(*questions, return_exceptions=True)
        assert await scene.standing(kie, second.job.id) == ("running", PRICE)


async def test_a_full_pool_of_the_callers_own_costs_nothing(scene, vendor):  # 3
    """No connection was free within the time: nobody can say more than a transport reports, and nothing was bought."""
    limits = httpx.Limits(max_connections=1)
    async with httpx.AsyncHTTPTransport(limits=limits) as transport:
        busy = await transport.handle_async_request(httpx.Request("GET", f"{vendor.url}/files/none"))
        settings = scene.client(create_timeout=0.2).settings
        async with Kie(settings=settings, transport=transport, clock=scene.clock) as kie:
            job_id, error = await scene.attempt(kie, kept=False)

            assert isinstance(error, SubmitUnknown)
            assert await scene.standing(kie, job_id) == ("unknown", PRICE)
        await busy.aclose()
    assert vendor.posts == 0


# --- sent, and no answer ----------------------------------------------------------------


@both
async def test_a_connection_that_is_reset_leaves_the_job_unknown(scene, kept):  # 4
    """The request had left."""
    await ends_unknown(scene, kept, "create-reset")


@both
@pytest.mark.parametrize("fault", ["close", "half-closed", "half-headers", "garbage", "huge-header"])
async def test_a_connection_that_ends_without_an_answer_leaves_the_job_unknown(scene, kept, fault):  # 5
    """Whatever it ends with."""
    await ends_unknown(scene, kept, f"create-{fault}")


@both
async def test_silence_leaves_the_job_unknown(scene, kept):  # 6
    """After the whole time for a create."""
    error = await ends_unknown(scene, kept, "create-silent", create_timeout=0.3)

    assert kept or "no answer within 0.3 s" in error.reason


@both
async def test_an_answer_that_trickles_leaves_the_job_unknown(scene, kept):  # 7
    """The time counts in all, not for each byte."""
    await ends_unknown(scene, kept, "create-slow=2", create_timeout=0.4)


# --- sent, and no readable answer -------------------------------------------------------


@both
@pytest.mark.parametrize("fault", ["cut-json", "cut-body"])
async def test_half_an_answer_leaves_the_job_unknown(scene, kept, fault):  # 8
    """Cut in its text, or in its bytes."""
    await ends_unknown(scene, kept, f"create-{fault}")


@both
async def test_half_an_answer_that_names_a_task_leads_to_it(scene, kept):  # 8
    """It is unknown all the same, until the task was read."""
    error = await ends_unknown(scene, kept, "create-cut-body=0.98", found=True)

    assert kept or error.handle.endswith(scene.vendor.creates[0].task_id)


@both
@pytest.mark.parametrize("fault", ["html", "status=502", "status=504"])
async def test_a_web_page_instead_of_an_answer_leaves_the_job_unknown(scene, kept, fault):  # 9
    """A gateway may have passed the request on."""
    await ends_unknown(scene, kept, f"create-{fault}")


@both
@pytest.mark.parametrize("status", [403, 413])
async def test_a_gateway_that_lets_nothing_through_refuses(scene, kept, status):  # 9
    """Below 500 nothing was made."""
    scene.vendor.faults.add(f"create-status={status}")
    async with scene.client() as kie:
        job_id, error = await scene.attempt(kie, kept=kept)

        assert kept or (type(error), error.code) == (Refused, status)
        await scene.has_ended(kie, job_id, "failed")


@both
@pytest.mark.parametrize(("fault", "found"), [("bad-utf8", True), ("broken-gzip", False)])
async def test_an_answer_in_no_known_letters_leaves_the_job_unknown(scene, kept, fault, found):  # 10
    """What can be read in it is only a hint."""
    await ends_unknown(scene, kept, f"create-{fault}", found=found)


@both
async def test_a_byte_order_mark_does_not_matter(scene, kept):  # 10
    """The answer is read."""
    await is_accepted(scene, kept, "create-bom")


@both
@pytest.mark.parametrize("fault", ["data-null", "task-id-missing"])
async def test_a_yes_without_a_task_leaves_the_job_unknown(scene, kept, fault):  # 11
    """It may have been bought."""
    await ends_unknown(scene, kept, f"create-{fault}")


@both
async def test_a_task_id_may_be_a_number(scene, kept):  # 12
    """Its text counts."""
    await is_accepted(scene, kept, "create-task-id-number")


@both
@pytest.mark.parametrize("fault", ["empty", "long", "nul"])
async def test_a_task_id_that_cannot_be_one_leaves_the_job_unknown(scene, kept, fault):  # 12
    """What came is kept, cut."""
    error = await ends_unknown(scene, kept, f"create-task-id-{fault}")

    assert kept or '"taskId"' in error.answer
    assert kept or len(error.answer) <= 2000


async def test_a_task_that_another_job_has_stays_with_that_one(scene, vendor, caplog):  # 13
    """The second job is unknown, and somebody is called."""
    async with scene.client() as kie:
        first, _ = await scene.attempt(kie, kept=False)
        vendor.faults.add("create-task-id-repeated")
        second, error = await scene.attempt(kie, kept=False, prompt="a dog")

        assert isinstance(error, SubmitUnknown)
        assert await scene.standing(kie, first) == ("running", PRICE)
        assert await scene.standing(kie, second) == ("unknown", PRICE)
        assert await scene.booked(kie) == (2 * PRICE, 0)
        await kie.drive()
        assert (await kie.entry(second)).state == "unknown"
    assert [record for record in caplog.records if record.levelno == logging.CRITICAL and first in record.message]
    assert vendor.purchases() == {"a cat": 1, "a dog": 1}
    assert vendor.posts == 2


# --- refused ----------------------------------------------------------------------------


async def test_too_many_creates_hold_back_every_process(scene, vendor, clock):  # 14
    """429: the job waits in the queue, and so does the job of another process, until the pause is over."""
    vendor.faults.add("create-code=429*1")
    async with scene.client() as kie, scene.client() as other:
        first, _ = await scene.attempt(kie, kept=True)
        await scene.is_back_in_the_queue(kie, first)
        second = (await other.enqueue(MODEL, {"prompt": "a dog"})).id
        at, asked = clock.now(), vendor.posts
        await other.advance(second)
        assert (vendor.posts, clock.now() - at >= 4) == (asked + 1, True)

        await kie.drive(first, second)

        assert {entry.id for entry in await kie.jobs("succeeded")} == {first, second}
    assert vendor.purchases() == {"a cat": 1, "a dog": 1}


async def test_too_many_creates_are_told_to_a_caller_who_does_not_wait(scene, vendor):  # 14
    """And tried again for one who does."""
    vendor.faults.add("create-code=429*2")
    async with scene.client() as kie:
        job_id, error = await scene.attempt(kie, kept=False)
        assert type(error) is RateLimited
        await scene.has_ended(kie, job_id)

        task = await kie.submit(MODEL, INPUTS, wait_timeout=60)

        assert task.id in vendor.tasks
    assert (vendor.posts, len(vendor.creates)) == (3, 1)


async def test_maintenance_closes_the_gate_for_a_while(scene, vendor, clock):  # 15
    """455: the job waits; nothing is sent for a minute, then one job tries."""
    vendor.faults.add("create-code=455*1")
    async with scene.client() as kie:
        job_id, _ = await scene.attempt(kie, kept=True)
        await scene.is_back_in_the_queue(kie, job_id)
        (gate,) = await kie.gates()
        assert (gate.kind, round(gate.opens_at - clock.time())) == ("maintenance", 60)
        await clock.sleep(58)
        await kie.advance(job_id)
        assert vendor.posts == 1

        await kie.drive(job_id)

        assert (await kie.entry(job_id)).state == "succeeded"
        assert await kie.gates() == []
    assert (vendor.posts, len(vendor.creates)) == (2, 1)


async def test_a_gate_that_a_person_opens_is_open_for_those_who_wait(scene, vendor, clock):  # 15
    """In this process or another, a caller or a batch: nobody waits on until the gate would have opened by itself."""
    vendor.faults.add("create-code=455*1")
    async with scene.client() as kie, scene.client() as other:
        await scene.attempt(kie, kept=False)
        kept = await other.enqueue(MODEL, {"prompt": "a dog"})
        (gate,) = await kie.gates()
        waiting = asyncio.create_task(kie.submit(MODEL, INPUTS, wait_timeout=600))
        driving = asyncio.create_task(other.drive(kept.id))
        await clock.sleep(2)
        assert await kie.open_gate()
        assert [waiting.done(), driving.done()] == [False, False]

        await asyncio.gather(waiting, driving)

        assert clock.time() < gate.opens_at - 30
    assert vendor.purchases() == {"a cat": 1, "a dog": 1}


async def test_maintenance_is_told_to_a_caller_who_does_not_wait(scene, vendor):  # 15
    """Its job ends."""
    vendor.faults.add("create-code=455*1")
    async with scene.client() as kie:
        job_id, error = await scene.attempt(kie, kept=False)

        assert type(error) is Maintenance
        await scene.has_ended(kie, job_id)


@pytest.mark.parametrize(("code", "kind"), [(402, "credits"), (401, "unauthorized")])  # 16, 17
async def test_an_account_that_is_refused_pauses_a_batch_until_a_person_acts(scene, vendor, clock, code, kind):
    """401, 402: every job stays queued, none fails, one create was sent; then all are bought, each once."""
    vendor.faults.add(f"create-code={code}*1")
    async with scene.client() as kie:
        jobs = [(await kie.enqueue(MODEL, {"prompt": f"cat {number}"})).id for number in range(3)]
        for job_id in jobs:
            await kie.advance(job_id)
        await clock.sleep(100_000)
        for job_id in jobs:
            await kie.advance(job_id)
            await scene.is_back_in_the_queue(kie, job_id)
        (gate,) = await kie.gates()
        assert (gate.kind, gate.opens_at, vendor.posts) == (kind, None, 1)

        assert await kie.open_gate()
        await kie.drive()

        assert len(await kie.jobs("succeeded")) == 3
    assert set(vendor.purchases().values()) == {1}


@pytest.mark.parametrize(("code", "kind"), [(402, OutOfCredits), (401, Unauthorized)])  # 16, 17
async def test_an_account_that_is_refused_ends_the_job_of_a_waiting_caller(scene, vendor, code, kind):
    """However long it would wait: the error is raised at once, and the price released."""
    vendor.faults.add(f"create-code={code}")
    async with scene.client() as kie:
        job = kie.job(MODEL, INPUTS)
        with pytest.raises(kind):
            await kie.submit(job, wait_timeout=600)

        await scene.has_ended(kie, job.id, "failed")
    assert vendor.posts == 1


async def test_a_vendor_that_repeats_the_key_does_not_bring_it_into_a_message(
    scene, raw_server, http_bytes, caplog
):  # 17
    """Not in the error, not in the log, not in the gate."""
    caplog.set_level(logging.DEBUG)

    async def answer(reader, writer):
        writer.write(http_bytes(f'{{"code": 401, "msg": "no such key: {KEY}"}}'))

    async with raw_server.answering(answer), scene.client(base_url=raw_server.url) as kie:
        job_id, error = await scene.attempt(kie, kept=False)
        told = [str(error), repr(error), repr(await kie.entry(job_id)), repr(await kie.gates()), caplog.text]

    assert isinstance(error, Unauthorized)
    assert not [text for text in told if KEY in text]
    assert KEY.encode() not in scene.ledger.read_bytes()


@both
@pytest.mark.parametrize("code", [422, 505])
async def test_a_refusal_for_good_ends_the_job_in_kies_words(scene, vendor, kept, code):  # 18
    """Nothing is owed."""
    vendor.faults.add(f"create-code={code}")
    async with scene.client() as kie:
        job_id, error = await scene.attempt(kie, kept=kept)

        assert kept or (type(error), error.code) == (Refused, code)
        assert f"told to answer with {code}" in (await kie.entry(job_id)).reason
        await scene.has_ended(kie, job_id, "failed")
    assert vendor.posts == 1


# --- odd answers ------------------------------------------------------------------------


@both
@pytest.mark.parametrize(("fault", "found"), [("code-made=500", False), ("code-made=777", False), ("code-true", True)])
async def test_a_code_that_says_neither_yes_nor_no_leaves_the_job_unknown(scene, kept, fault, found):  # 19
    """500, a number of which no page tells, and the word true."""
    await ends_unknown(scene, kept, f"create-{fault}", found=found)


@both
@pytest.mark.parametrize("fault", ["code-text", "code-float"])
async def test_a_yes_may_be_written_otherwise(scene, kept, fault):  # 19
    """As a text, or with a point."""
    await is_accepted(scene, kept, f"create-{fault}")


@both
@pytest.mark.parametrize("fault", ["huge-int", "nan", "overflow", "brackets"])
async def test_json_that_breaks_parsers_leaves_the_job_unknown(scene, kept, fault):  # 20
    """It ends in our own error, and a task that it names is found."""
    await ends_unknown(scene, kept, f"create-{fault}", found=True)


@both
async def test_of_names_that_come_twice_the_last_counts(scene, kept):  # 20
    """As everywhere."""
    await is_accepted(scene, kept, "create-duplicate-keys")


@pytest.mark.parametrize("fault", ["huge-int", "nan", "overflow", "brackets", "bad-utf8", "cut-json"])
async def test_json_that_breaks_parsers_is_asked_for_again(scene, vendor, fault):  # 20
    """In an answer about a task."""
    async with scene.client() as kie:
        task = await kie.submit(MODEL, INPUTS)
        vendor.faults.add(f"query-{fault}*3")

        assert (await task.wait()).state == "succeeded"
    assert not list(vendor.faults)


@both
@pytest.mark.parametrize(("fault", "found"), [("huge=1024", True), ("endless", True), ("gzip-bomb=64", True)])
async def test_an_answer_without_measure_is_cut(scene, vendor, kept, fault, found):  # 21
    """At 8 MB, and the job is unknown."""
    error = await ends_unknown(scene, kept, f"create-{fault}", found=found)

    assert kept or "8388608 bytes" in error.reason


@both
@pytest.mark.parametrize("where", ["", "=http://127.0.0.1:9/elsewhere"])
async def test_a_redirect_is_not_followed(scene, vendor, kept, where):  # 22
    """A second create could buy a second task."""
    await ends_unknown(scene, kept, f"create-redirect{where}")
