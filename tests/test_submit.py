"""Between the intent and the answer: processes that stand still, ledgers that fail, and what is taken back."""

from __future__ import annotations

import asyncio
import os
import time

import pytest

from kie_core import LedgerError, NotSent
from kie_core._running.submit import LATEST_SECONDS, STALE_SECONDS

pytestmark = pytest.mark.anyio
INPUTS = {"prompt": "cat"}
MODEL = "acme-sketch"


async def test_an_answer_that_came_while_the_process_stood_still_is_read(fake):
    """The time is up when it wakes, and the answer lies there: the task is paid, and found."""
    fake.go_on.clear()
    async with fake.client(create_timeout=10.0) as kie:
        object.__setattr__(kie.settings, "create_timeout", 0.3)  # no setting may be so short
        submitting = asyncio.create_task(kie.submit(MODEL, INPUTS))
        await fake.arrived.wait()
        fake.go_on.set()
        await asyncio.sleep(0)
        time.sleep(0.5)  # noqa: ASYNC251  (as a process that is stopped, or a hook that blocks)

        assert (await submitting).id == "t1"


async def test_a_create_does_not_leave_long_after_its_intent(fake, monkeypatch):
    """The process was stopped in between; by now somebody may have said that it was never sent."""
    clock = iter([0.0, STALE_SECONDS + 1])
    monkeypatch.setattr("kie_core._running.submit.awake_seconds", lambda: next(clock, 100.0))
    async with fake.client() as kie:
        with pytest.raises(NotSent, match="stood still"):
            await kie.submit(MODEL, INPUTS, wait_timeout=0)
        (entry,) = await kie.jobs()

        assert (entry.state, entry.reserved) == ("cancelled", 0)
        assert fake.creates == 0
        await kie.submit(MODEL, INPUTS)
    assert fake.creates == 1


async def test_a_create_that_took_too_long_to_connect_does_not_leave(fake, monkeypatch):
    """The machine slept while the name was looked up: provably nothing was sent."""
    moments = iter([0.0, 1.0, LATEST_SECONDS + 1])
    monkeypatch.setattr("kie_core._running.submit.awake_seconds", lambda: next(moments, 100.0))
    async with fake.client() as kie:
        with pytest.raises(NotSent, match="too long"):
            await kie.submit(MODEL, INPUTS, wait_timeout=0)
        assert [(entry.state, entry.reserved) for entry in await kie.jobs()] == [("cancelled", 0)]

    assert fake.creates == 0


@pytest.mark.parametrize("written", [True, False])
async def test_an_intent_of_which_nobody_knows_whether_it_was_written_is_taken_back(fake, monkeypatch, written):
    """The ledger fails while it is written, and when one looks: nothing was sent, and later the job is free again."""
    async with fake.client() as kie:
        runner = await kie._opened.for_buying()
        intend = type(runner.ledger).intend
        failing = []

        async def intended(self, entry):
            if failing:
                raise LedgerError("played", "others hold it", "try again", "busy")
            failing.append(True)
            if written:
                await intend(self, entry)
            raise LedgerError("played", "the connection broke", "try again", "busy")

        get = type(runner.ledger).get

        async def got(self, job_id):
            if failing:
                raise LedgerError("played", "others hold it", "try again", "busy")
            return await get(self, job_id)

        with monkeypatch.context() as patch:
            patch.setattr(type(runner.ledger), "intend", intended)
            patch.setattr(type(runner.ledger), "get", got)
            entry = await runner.ledger.add(runner.planner.planned(kie.job(MODEL, INPUTS), kept=True))
            with pytest.raises(LedgerError):
                await runner._try(entry, runner._request_of(entry))
        await runner.recovery.take_over()
        await kie.drive(entry.id)

        assert (await kie.entry(entry.id)).state == "succeeded"
    assert fake.creates == 1


async def test_a_ledger_that_was_emptied_is_not_taken_for_a_new_one(fake, tmp_path):
    """What it knew would be bought again: keys, budgets, tasks."""
    place = tmp_path / "ledger.sqlite"
    async with fake.client(ledger=str(place)) as kie:
        await kie.submit(MODEL, INPUTS, job_key="order-17")
    os.truncate(place, 0)

    async with fake.client(ledger=str(place)) as kie:
        with pytest.raises(LedgerError, match="it is empty"):
            await kie.submit(MODEL, INPUTS, job_key="order-17")
    assert fake.creates == 1
    place.unlink()  # moved away on purpose
    async with fake.client(ledger=str(place)) as kie:
        await kie.submit(MODEL, INPUTS, job_key="order-18")
    assert fake.creates == 2
