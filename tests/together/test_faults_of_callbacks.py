"""What goes wrong with callbacks, over a real HTTP server before the real receiver. Each of 58 faults has its number."""

from __future__ import annotations

import contextlib
import json
import sqlite3

import httpx
import pytest

pytestmark = pytest.mark.anyio
MODEL = "gpt-4o-image"
PRICE = 3933
INPUTS = {"prompt": "a cat"}


@pytest.fixture
async def kie(scene, door):
    """A client to which the door leads."""
    async with scene.client(callback_url=door.url) as opened:
        door.inbox = opened
        yield opened


@pytest.fixture
async def signed_kie(scene, vendor, door):
    """The same, and both sides have a key for signatures."""
    vendor.sign_with("0123456789abcdef")
    async with scene.client(callback_url=door.url, webhook_keys="0123456789abcdef") as opened:
        door.inbox = opened
        yield opened


@pytest.fixture
def is_in(until):
    async def waiting(job_id, state, kie):
        async def there():
            return (await kie.entry(job_id)).state == state

        await until(there)

    return waiting


def kept(scene):
    """How many callbacks the ledger keeps."""
    with contextlib.closing(sqlite3.connect(scene.ledger)) as ledger:
        return ledger.execute("SELECT count(*) FROM inbox").fetchone()[0]


async def post(url, body, **headers):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    async with httpx.AsyncClient() as client:
        return (
            await client.post(url, content=content, headers={"Content-Type": "application/json", **headers})
        ).status_code


async def test_a_late_callback_finds_the_task_of_an_unknown_job(scene, vendor, clock, door, until):  # 6
    """Its create was never answered; the job goes on, and nothing is bought again."""
    vendor.faults.add("create-silent*1")
    async with scene.client(callback_url=door.url, create_timeout=0.3) as kie:
        door.inbox = kie
        job_id, _ = await scene.attempt(kie, kept=False)
        await scene.stays_unknown(kie, job_id)
        await clock.sleep(3)

        async def found():
            return (await kie.entry(job_id)).state == "succeeded"

        await until(found)
        assert (await kie.entry(job_id)).task_id == vendor.creates[0].task_id
        assert (await scene.booked(kie))[0] == 0
    assert vendor.posts == 1


async def test_a_callback_that_comes_twice_counts_once(kie, scene, vendor, clock, door, until, is_in):  # 27
    """Both are answered with yes."""
    vendor.faults.add("callback-twice")
    task = await kie.submit(MODEL, INPUTS)
    await clock.sleep(3)
    await until(lambda: len(vendor.sent) == 2)
    await is_in(task.job.id, "succeeded", kie)

    assert [one.status for one in vendor.sent] == [200, 200]
    assert kept(scene) == 1
    assert [event.state for event in await kie.history(task.job.id)].count("succeeded") == 1


async def test_a_callback_that_comes_before_the_answer_waits_for_it(kie, scene, vendor, is_in):  # 28
    """It is kept, and the job is one and the same."""
    vendor.faults.add("callback-before-answer=0.4")
    task = await kie.submit(MODEL, INPUTS)
    assert [one.status for one in vendor.sent] == [200]
    assert kept(scene) == 1
    assert task.id == vendor.creates[0].task_id

    await kie.advance(task.job.id)

    await is_in(task.job.id, "succeeded", kie)
    assert [event.state for event in await kie.history(task.job.id)].count("running") == 1
    assert vendor.posts == 1


async def test_a_callback_for_a_stranger_is_not_kept(kie, scene, vendor, door):  # 29
    """No token, a wrong token, the token of another job, a job that is not ours: 404."""
    task = await kie.submit(MODEL, INPUTS)
    address = vendor.creates[0].callback
    token = address.rpartition("/")[2]
    body = {"code": 200, "data": {"taskId": task.id}}
    strangers = (
        door.url, f"{door.url}/{task.job.id}", f"{door.url}/{task.job.id}/{'0' * 32}", f"{address}0",
        f"{door.url}/another-job/{token}", address.replace(token, token.upper()),
    )  # fmt: skip

    assert {await post(url, body) for url in strangers} == {404}

    assert kept(scene) == 0
    assert await post(address, body) == 200


async def test_a_callback_for_a_job_of_another_ledger_is_not_kept(kie, scene, vendor, clock, door, tmp_path):  # 29
    """The address is right, for our key made it; the job is not known here."""
    async with scene.client(callback_url=door.url, ledger=str(tmp_path / "other.sqlite")) as other:
        await other.submit(MODEL, INPUTS)

    assert await post(vendor.creates[0].callback, {"code": 200, "data": {"taskId": "t"}}) == 404
    assert kept(scene) == 0


forgeries = pytest.mark.parametrize("fault", ["callback-forged", "callback-forged-failure"])


async def is_not_believed(kie, vendor, clock, is_in, fault):
    """The callback is taken, and Kie's own record decides."""
    vendor.faults.add(fault)
    task = await kie.submit(MODEL, INPUTS)
    await clock.sleep(3)
    await is_in(task.job.id, "succeeded", kie)

    assert [one.status for one in vendor.sent] == [200]
    assert (await kie.entry(task.job.id)).outcome.urls == (vendor.tasks[task.id].url(),)


@forgeries
async def test_a_forged_callback_is_not_believed(kie, vendor, clock, is_in, fault):  # 30
    """Neither other files nor a failure."""
    await is_not_believed(kie, vendor, clock, is_in, fault)


@forgeries
async def test_a_signature_says_nothing_about_a_body(signed_kie, vendor, clock, is_in, fault):  # 31
    """Signed rightly, it is believed as little."""
    await is_not_believed(signed_kie, vendor, clock, is_in, fault)


async def test_a_forged_callback_ends_no_task_that_runs(kie, scene, vendor, until):  # 30
    """Its record says that it runs."""
    vendor.faults.add("query-unfinished")
    task = await kie.submit(MODEL, INPUTS)
    for code in (200, 501):
        body = {
            "code": code,
            "data": {"taskId": task.id, "state": "success", "info": {"result_urls": ["https://x.y/z"]}},
        }
        assert await post(vendor.creates[0].callback, body) == 200
    asked = vendor.asked("record-info")
    await until(lambda: vendor.asked("record-info") >= max(asked, 2))

    assert await scene.standing(kie, task.job.id) == ("running", PRICE)


async def test_a_callback_cannot_bring_an_unknown_job_the_task_of_somebody_else(scene, vendor, door, until):  # 30
    """Its record does not repeat our address: nobody is believed who merely knows the token."""
    async with scene.client(callback_url=door.url) as kie, scene.client() as stranger:
        door.inbox = kie
        foreign = await stranger.submit(MODEL, {"prompt": "a dog"})
        vendor.faults.add("create-close*1")
        await stranger.forget(foreign.job.id)
        job_id, _ = await scene.attempt(kie, kept=False)
        mine = next(one for one in vendor.creates if one.callback)

        assert await post(mine.callback, {"code": 200, "data": {"taskId": foreign.id}}) == 200

        await until(lambda: vendor.asked(f"taskId={foreign.id}"))
        await kie.recover(wait_timeout=0)
        assert (await kie.entry(job_id)).task_id is None
        assert await scene.standing(kie, job_id) == ("unknown", PRICE)


@pytest.mark.parametrize("age", [600, -600])
async def test_an_old_callback_is_refused_and_polling_ends_the_job(
    signed_kie, scene, vendor, clock, age, until, caplog
):  # 32
    """So is one of the future; a clock may be wrong, so it is told."""
    vendor.faults.add(f"callback-old={age}")
    task = await signed_kie.submit(MODEL, INPUTS)
    await clock.sleep(3)
    await until(lambda: vendor.sent)
    assert {one.status for one in vendor.sent} == {401}
    assert "the clock is wrong, or somebody repeats an old request" in caplog.text
    assert kept(scene) == 0

    assert (await task.wait()).state == "succeeded"


async def test_a_callback_that_is_repeated_later_is_refused(signed_kie, scene, vendor, clock, until):  # 32
    """Word for word, ten minutes after it was taken."""
    await signed_kie.submit(MODEL, INPUTS)
    await clock.sleep(3)
    await until(lambda: vendor.sent)
    recorded = vendor.sent[0].callback
    headers = {name: value for name, value in recorded.headers if name != "Content-Type"}
    assert await post(recorded.url, recorded.content, **headers) == 200
    await clock.sleep(600)

    assert await post(recorded.url, recorded.content, **headers) == 401
    assert kept(scene) == 1


@pytest.mark.parametrize(
    ("faults", "status"),
    [
        (["callback-huge"], 413),
        (["callback-huge=1", "callback-chunked"], 413),
        (["callback-content-type"], 415),
        (["callback-garbage"], 400),
        (["callback-brackets"], 400),
        (["callback-chunked"], 200),
    ],
)
async def test_a_callback_out_of_measure_is_refused(kie, scene, vendor, clock, until, faults, status):  # 33
    """Too long, with and without a length; no JSON, by its name or by its letters. Polling ends the job."""
    vendor.faults.add(*faults)
    task = await kie.submit(MODEL, INPUTS)
    await clock.sleep(3)
    await until(lambda: vendor.sent)

    assert {one.status for one in vendor.sent} == {status}
    assert kept(scene) == (status == 200)
    assert (await task.wait()).state == "succeeded"
