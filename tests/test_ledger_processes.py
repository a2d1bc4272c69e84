"""What a process holds in the ledger, and who takes it over when it is dead. Time passes by SQL."""

from __future__ import annotations

import asyncio

import pytest

from kie_core._ledger.ledger import Ledger, Superseded
from kie_core._ledger.process import here

from .ledger_steps import booked, lease, pass_time, run_job, sql, submit

pytestmark = pytest.mark.anyio


async def hold_one_of_each(ledger):
    return {
        "kept": await lease(ledger, kept=True),
        "direct": await lease(ledger, kept=False),
        "sent": await submit(ledger, limits=[("user:7", 500)]),
        "running": await run_job(ledger, "task-1"),
    }


async def states(ledger, held):
    return {name: (await ledger.get(entry.id)).state for name, entry in held.items()}


UNTOUCHED = {"kept": "leased", "direct": "leased", "sent": "submitting", "running": "running"}
TAKEN_OVER = {"kept": "queued", "direct": "cancelled", "sent": "unknown", "running": "running"}


async def test_a_living_process_keeps_its_jobs(two_ledgers):
    """Whoever else beats."""
    one, two = two_ledgers
    await one.beat()
    held = await hold_one_of_each(one)

    assert await two.beat() == []
    assert await one.beat() == []
    assert await states(two, held) == UNTOUCHED


async def test_what_a_silent_process_held_is_taken_over(two_ledgers):
    """Unsent and kept: queued; unsent and waited for: cancelled; on its way: unknown, with its price."""
    one, two = two_ledgers
    await one.beat()
    held = await hold_one_of_each(one)
    await pass_time(one, 61)

    taken = await two.beat()

    assert {entry.id for entry in taken} == {held[name].id for name in ("kept", "direct", "sent")}
    assert await states(two, held) == TAKEN_OVER
    assert await booked(two, "user:7") == (0, 100)
    assert await two.beat() == []
    with pytest.raises(Superseded):
        await one.intend(held["kept"])


async def test_a_process_that_is_gone_needs_no_lease(two_ledgers):
    """On this machine a number tells; on another one only silence does."""
    one, two = two_ledgers
    await one.beat()
    held = await hold_one_of_each(one)
    await sql(one, "UPDATE process SET host = 'elsewhere', pid = 4194305")
    assert await two.beat() == []

    await sql(one, "UPDATE process SET host = :host WHERE owner = :owner", host=here()[0], owner=one.owner)
    await two.beat()

    assert await states(two, held) == TAKEN_OVER


async def test_a_sign_of_life_from_the_future_is_none(two_ledgers):
    """The clock went back by an hour: nobody waits an hour for the dead."""
    one, two = two_ledgers
    await one.beat()
    held = await hold_one_of_each(one)
    await pass_time(one, -3600)

    await two.beat()

    assert await states(two, held) == TAKEN_OVER


async def test_many_take_over_at_once(two_ledgers, shared_place, open_place):
    """Each job goes to one of them, and none stumbles over another."""
    one, _ = two_ledgers
    others = [Ledger(open_place(shared_place)) for _ in range(5)]
    await one.beat()
    held = [await lease(one, kept=True) for _ in range(20)]
    await pass_time(one, 61)

    answers = await asyncio.gather(*(other.beat() for other in others))
    for other in others:
        await other.close()

    assert sorted(entry.id for taken in answers for entry in taken) == sorted(entry.id for entry in held)


async def test_who_leaves_holds_nothing(ledger):
    """What was not sent goes back, what was is unknown."""
    await ledger.beat()
    held = await hold_one_of_each(ledger)

    await ledger.leave()

    assert await states(ledger, held) == TAKEN_OVER
    assert await sql(ledger, "SELECT * FROM process") == []
