"""What goes wrong while a task is read. Each of 58 faults has its number."""

from __future__ import annotations

import logging

import pytest

from kie_core import JobFailed, SaveFailed, WaitTimeout

pytestmark = pytest.mark.anyio
MODEL = "gpt-4o-image"
PRICE = 3933
#: What a picture costs by today's price of the vendor, in kopecks.
WIRE_PRICE = 472
INPUTS = {"prompt": "a cat"}
wires = pytest.mark.parametrize("wire", ["dedicated", "jobs"])


@wires
async def test_a_word_that_nobody_knows_means_running(scene, vendor, clock, wire, caplog):  # 23
    """It is told once; the job goes on until its deadline, and is lost then, not bought again."""
    vendor.faults.add("query-unknown-state")
    async with scene.client() as kie:
        task = await kie.submit(MODEL, INPUTS, wire=wire)
        with pytest.raises(WaitTimeout):
            await task.wait(200)
        assert await scene.standing(kie, task.job.id) == ("running", PRICE)
        told = [one for one in caplog.records if "pondering" in one.message or "successFlag 7" in one.message]
        assert [one.levelno for one in told if one.levelno > logging.DEBUG] == [logging.WARNING]

        await kie.drive(task.job.id)

        entry = await kie.entry(task.job.id)
        assert (entry.state, "did not end within 1 h" in entry.reason) == ("expired", True)
        assert 3600 <= clock.now() < 3700
        assert await scene.booked(kie) == (0, WIRE_PRICE)
    assert vendor.posts == 1


@wires
async def test_a_task_that_kie_does_not_see_yet_is_waited_for(scene, vendor, wire):  # 24
    """For a while after its creation."""
    vendor.faults.add("query-invisible=60")
    async with scene.client() as kie:
        task = await kie.generate(MODEL, INPUTS, wire=wire)

    assert task.outcome.state == "succeeded"
    assert vendor.posts == 1


@wires
@pytest.mark.parametrize("fault", ["query-record-null", "query-unknown-task"])
async def test_a_task_that_kie_does_not_know_is_lost_after_a_while(scene, vendor, clock, wire, fault, caplog):  # 24
    """The job stays running until then; the money counts as spent, somebody is called, nothing is bought again."""
    vendor.faults.add(fault)
    async with scene.client() as kie:
        task = await kie.submit(MODEL, INPUTS, wire=wire)
        await kie.drive(task.job.id, wait_timeout=80)
        assert await scene.standing(kie, task.job.id) == ("running", PRICE)

        with pytest.raises(JobFailed) as caught:
            await task.wait()

        assert caught.value.state == "expired"
        assert clock.now() < 130
        assert await scene.booked(kie) == (0, WIRE_PRICE)
        assert [one for one in caplog.records if one.levelno == logging.ERROR and task.job.id in one.message]
        await kie.drive()
        vendor.faults.clear()
        assert (await task.status()).state == "succeeded"
        assert (await kie.entry(task.job.id)).state == "succeeded"
    assert vendor.posts == 1


RESULTLESS = ["no-result", "result-empty", "result-not-json", "result-twice-encoded"]


@wires
@pytest.mark.parametrize("fault", RESULTLESS)
async def test_a_success_whose_result_comes_later_is_asked_again(scene, vendor, wire, fault):  # 25
    """Until it is named."""
    vendor.faults.add(f"query-{fault}*4")
    async with scene.client() as kie:
        task = await kie.generate(MODEL, INPUTS, wire=wire)

    assert task.outcome.urls
    assert vendor.posts == 1


@wires
@pytest.mark.parametrize("fault", RESULTLESS[:3])
async def test_a_success_without_any_result_is_kept_and_shown(scene, vendor, clock, wire, fault, tmp_path):  # 25
    """It is not bought again; when its result appears after all, it is saved."""
    vendor.faults.add(f"query-{fault}")
    async with scene.client() as kie:
        task = await kie.submit(MODEL, INPUTS, wire=wire)
        assert (await task.wait()).artifacts == ()
        assert clock.now() > 60
        assert [entry.id for entry in await kie.jobs(unsaved=True)] == [task.job.id]
        with pytest.raises(SaveFailed, match="names no result yet"):
            await task.save(tmp_path / "results")
        await kie.drive()
        assert await scene.booked(kie) == (0, WIRE_PRICE)
        vendor.faults.clear()

        assert await kie.save_all(tmp_path / "results") == {}

        assert await kie.jobs(unsaved=True) == []
    assert vendor.posts == 1


@wires
async def test_a_failure_after_a_success_changes_nothing(scene, vendor, wire):  # 26
    """But it is written down."""
    vendor.faults.add("query-fail-after-success")
    async with scene.client() as kie:
        task = await kie.generate(MODEL, INPUTS, wire=wire)

        assert (await task.status()).state == "succeeded"

        assert (await kie.entry(task.job.id)).state == task.outcome.state == "succeeded"
        assert (await kie.history(task.job.id))[-1].note == "Kie now says failed"


@wires
async def test_a_success_after_a_failure_counts(scene, vendor, wire, tmp_path):  # 26
    """It was paid; its result is there."""
    vendor.faults.add("query-success-after-fail")
    async with scene.client() as kie:
        with pytest.raises(JobFailed):
            await kie.generate(MODEL, INPUTS, wire=wire)
        (entry,) = await kie.jobs("failed")

        assert (await (await kie.task(entry.id)).status()).state == "succeeded"

        assert (await kie.entry(entry.id)).state == "succeeded"
        assert await kie.save_all(tmp_path / "results") == {}
    assert vendor.posts == 1
