"""What holds creates back, in every database: their places in the queue, and gates. Time passes by SQL."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from kie_core._errors import OverBudget
from kie_core._ledger.entry import read, unknown, waiting
from kie_core._ledger.gates import FAULTS, GATE_SECONDS
from kie_core._ledger.ledger import Ledger
from kie_core._ledger.sqlite import SqliteDatabase

from .ledger_steps import ACCOUNT, booked, fail_creates, lease, make_entry, pass_time, run_job, sql, submit, success

pytestmark = pytest.mark.anyio


# --- places in the queue -------------------------------------------------------------------


async def test_creates_leave_one_after_the_other(ledger):
    """Places are one interval apart, whoever asks, and however many at once."""
    entries = [await ledger.add(make_entry()) for _ in range(10)]

    taken = await asyncio.gather(*(lease(ledger, entry, interval=0.55) for entry in entries))

    slots = sorted(entry.slot for entry in taken)
    assert all(later - earlier >= 0.5499 for earlier, later in itertools.pairwise(slots))


async def test_accounts_do_not_wait_for_each_other(ledger):
    """Each has its own queue."""
    first = await lease(ledger, interval=100.0)
    other = await lease(ledger, interval=100.0, account="account-2")
    second = await lease(ledger, interval=100.0)

    assert second.slot - first.slot == pytest.approx(100.0)
    assert other.slot < first.slot + 50


async def test_concurrency_counts_what_may_run(ledger):
    """Leased, on its way, unknown and running; not what waits, ended, or is past its deadline."""
    await lease(ledger)
    await submit(ledger)
    await ledger.change(await submit(ledger, seconds=100.0), lambda old, _: unknown(old, "no answer"))
    await run_job(ledger, "task-1")
    await ledger.add(make_entry())

    full = await lease(ledger, most=4)
    assert (full.state, full.revision) == ("queued", 1)
    assert "4 jobs" in full.reason
    assert (await lease(ledger, most=4, account="account-2")).state == "leased"
    await pass_time(ledger, 101)
    assert (await lease(ledger, most=4)).state == "leased"


async def test_a_429_holds_back_every_create(ledger):
    """Who has a place gives it back, who asks for one gets a later one."""
    leased = await lease(ledger)
    entry = await submit(ledger)

    await ledger.change(entry, lambda old, _: waiting(old, "too many"), signal="limited", pause=30.0)

    assert (await ledger.intend(leased)).state == "queued"
    later = await lease(ledger)
    assert later.slot - leased.slot == pytest.approx(30.0, abs=5.0)


async def test_one_429_after_the_other_holds_back_longer(ledger):
    """5 s, doubling to a minute, give or take a fifth; an answer forgets it."""
    pauses = []
    for _ in range(6):
        entry = await submit(ledger)
        await ledger.change(entry, lambda old, _: waiting(old, "too many"), signal="limited")
        [row] = await sql(ledger, "SELECT not_before FROM slot")
        [event] = [event for event in await ledger.events(entry.id) if event.note == "too many"]
        pauses.append(row["not_before"] - event.at)
        await pass_time(ledger, 100)

    assert pauses == [pytest.approx(expected, rel=0.21) for expected in (5, 10, 20, 40, 60, 60)]
    await run_job(ledger, "task-1")
    assert [row["limited"] for row in await sql(ledger, "SELECT limited FROM slot")] == [0]


@pytest.mark.parametrize("hours", [-1, 1])
async def test_a_clock_that_jumps_neither_stops_the_queue_nor_empties_it_at_once(ledger, hours):
    """The next place is near, and the one after it an interval later."""
    first = await lease(ledger, interval=0.55)
    limited = await submit(ledger)
    await ledger.change(limited, lambda old, _: waiting(old, "too many"), signal="limited")
    await pass_time(ledger, hours * 3600)
    first = await ledger.get(first.id)
    await ledger.change(first, lambda old, _: waiting(old, "gave up"))

    entries = [await ledger.add(make_entry()) for _ in range(5)]
    taken = [await lease(ledger, entry, interval=0.55) for entry in entries]

    slots = [entry.slot for entry in taken]
    assert all(later - earlier >= 0.5499 for earlier, later in itertools.pairwise(slots))
    assert slots[-1] - entries[-1].created_at < 10
    assert (await ledger.intend(taken[0])).state == "submitting"


async def test_a_long_queue_is_no_clock_that_went_back(ledger):
    """Beyond ten minutes nobody gets a place, least of all one that another job has."""
    taken = [await lease(ledger, interval=100.0) for _ in range(10)]

    places = [entry.slot for entry in taken if entry.slot is not None]
    assert len(set(places)) == len(places) == 7
    assert {entry.state for entry in taken[7:]} == {"queued"}
    assert all(entry.not_before > entry.created_at for entry in taken[7:])


async def test_a_place_that_passed_is_given_back(ledger):
    """A create that would leave late takes another place, so that none leave together."""
    entry = await lease(ledger, limits=[("user:7", 500)])
    await pass_time(ledger, 5)
    entry = await ledger.get(entry.id)

    back = await ledger.intend(entry)

    assert (back.state, back.slot, back.attempts) == ("queued", None, 0)
    assert await booked(ledger, "user:7") == (0, 0)


async def test_a_gate_that_closed_meanwhile_takes_the_place(ledger):
    """Between place and create, another create ran into the wall."""
    leased = await lease(ledger, kept=True)
    entry = await submit(ledger)
    await ledger.change(entry, lambda old, _: waiting(old, "no credits"), signal="credits")

    back = await ledger.intend(leased)

    assert (back.state, back.reason) == ("queued", f"no credits; kie gate open {ACCOUNT}")
    assert back.not_before > leased.created_at


# --- gates ---------------------------------------------------------------------------------


async def test_the_fifth_fault_in_a_row_closes_the_gate_for_a_minute(ledger):
    """Four do not, and an answer in between starts the count anew."""
    await fail_creates(ledger, FAULTS - 1)
    await run_job(ledger, "task-1")
    await fail_creates(ledger, FAULTS - 1)
    assert await ledger.gates() == []

    await fail_creates(ledger, 1)

    [gate] = await ledger.gates()
    assert (gate.name, gate.kind) == (ACCOUNT, "fault")
    assert gate.opens_at - gate.closed_at == pytest.approx(60.0)
    for kept in (True, False):
        held = await lease(ledger, kept=kept)
        assert (held.state, held.not_before) == ("queued", gate.opens_at)


async def test_opening_a_gate_ends_a_pause_and_not_the_queue(ledger):
    """Who comes later is sent after those who have a place, and not after the pause that a refusal asked for."""
    first, *_ = [await lease(ledger, interval=1.0) for _ in range(3)]
    await ledger.open_gate(ACCOUNT)
    third = await lease(ledger, interval=1.0)
    assert third.slot - first.slot == pytest.approx(3.0, abs=1e-3)
    await ledger.change(await ledger.intend(first), lambda old, _: waiting(old, "later"), signal="limited", pause=300.0)

    await ledger.open_gate(ACCOUNT)

    assert third.slot <= (await lease(ledger, interval=1.0)).slot <= third.slot + 1.0


async def test_a_job_that_a_closed_gate_puts_back_looks_again_soon(ledger):
    """Long before the gate opens by itself: a person may open it."""
    leased = await lease(ledger)
    await fail_creates(ledger)

    back = await ledger.intend(leased)

    assert back.state == "queued"
    assert 0 < back.not_before - await ledger.time() <= 5.0


async def test_after_its_time_one_job_tries_the_gate(ledger):
    """And only that one, through claim and intend, until its time is up."""
    await fail_creates(ledger)
    await pass_time(ledger, 61)
    entries = [await ledger.add(make_entry()) for _ in range(5)]

    answers = await asyncio.gather(*(lease(ledger, entry) for entry in entries))

    [probe] = [answer for answer in answers if answer.state == "leased"]
    assert (await ledger.intend(probe)).state == "submitting"
    others = [entry for entry in entries if entry.id != probe.id]
    assert (await lease(ledger, others[0])).state == "queued"
    await pass_time(ledger, 181)
    assert (await lease(ledger, others[0])).state == "leased"


async def test_who_looked_at_the_clock_earlier_does_not_try_the_gate_too(tmp_path):
    """It waited for the one that does; its time from before is no clock that went back."""
    place, start = str(tmp_path / "ledger.sqlite"), 1_700_000_000.0
    first, second = (
        Ledger(SqliteDatabase(place, clock=lambda at=at: start + at)) for at in (GATE_SECONDS[0] + 1, GATE_SECONDS[0])
    )
    beginning = Ledger(SqliteDatabase(place, clock=lambda: start))
    await fail_creates(beginning)
    entries = [await first.add(make_entry()) for _ in range(2)]

    assert (await lease(first, entries[0])).state == "leased"
    assert (await lease(second, entries[1])).state == "queued"
    for one in (beginning, first, second):
        await one.close()


async def test_an_answer_to_the_job_that_tries_opens_the_gate(ledger):
    """For everybody, and the count is at its start."""
    await fail_creates(ledger)
    await pass_time(ledger, 61)
    await run_job(ledger, "task-1")

    assert await ledger.gates() == []
    assert (await lease(ledger)).state == "leased"
    await fail_creates(ledger, FAULTS - 1)
    assert await ledger.gates() == []


async def test_a_gate_stays_closed_twice_as_long_each_time(ledger):
    """A minute, doubling to a quarter of an hour."""
    await fail_creates(ledger)
    seconds = []
    for _ in range(6):
        [gate] = await ledger.gates()
        seconds.append(gate.opens_at - gate.closed_at)
        await pass_time(ledger, seconds[-1] + 1)
        await fail_creates(ledger, 1)

    assert seconds == [pytest.approx(expected) for expected in (60, 120, 240, 480, 900, 900)]


async def test_faults_of_creates_that_were_on_their_way_do_not_count_twice(ledger):
    """One wave of bad answers closes the gate once."""
    entries = [await submit(ledger) for _ in range(FAULTS * 2)]
    for entry in entries:
        await ledger.change(entry, lambda old, _: unknown(old, "no answer"), signal="fault")

    [gate] = await ledger.gates()
    assert gate.strikes == 0


async def test_maintenance_closes_at_once(ledger):
    """For a minute."""
    await ledger.change(await submit(ledger), lambda old, _: waiting(old, "maintenance"), signal="maintenance")

    [gate] = await ledger.gates()
    assert (gate.kind, gate.opens_at - gate.closed_at) == ("maintenance", pytest.approx(GATE_SECONDS[0]))


@pytest.mark.parametrize("signal", ["unauthorized", "credits"])
async def test_what_a_person_has_to_mend_holds_back_jobs_that_nobody_waits_for(ledger, signal):
    """A caller who waits may try; when Kie takes its job, the gate is open."""
    entry = await submit(ledger)
    await ledger.change(entry, lambda old, _: waiting(old, "no"), signal=signal)

    assert (await lease(ledger, kept=True)).reason == f"no; kie gate open {ACCOUNT}"
    await pass_time(ledger, 100_000)
    assert (await lease(ledger, kept=True)).state == "queued"
    assert [gate.opens_at for gate in await ledger.gates()] == [None]
    await run_job(ledger, "task-1", kept=False)
    assert await ledger.gates() == []


async def test_a_fault_does_not_soften_a_gate_that_a_person_has_to_open(ledger):
    """No time is set for it."""
    entry = await submit(ledger)
    await ledger.change(entry, lambda old, _: waiting(old, "no"), signal="unauthorized")
    for _ in range(FAULTS + 1):
        other = await submit(ledger, kept=False)
        await ledger.change(other, lambda old, _: unknown(old, "no answer"), signal="fault")

    assert [(gate.kind, gate.opens_at) for gate in await ledger.gates()] == [("unauthorized", None)]


async def test_a_gate_survives_a_clock_that_goes_back(ledger):
    """It does not stay closed for the hour."""
    await fail_creates(ledger)
    await pass_time(ledger, -3600)
    assert (await submit(ledger)).state == "submitting"

    await pass_time(ledger, -3600)

    assert (await lease(ledger)).state == "leased", "the job that tries has its time from another clock"


async def test_a_job_that_may_not_try_leaves_it_to_another(ledger):
    """A closed budget does not keep the one place before the account's gate."""
    limits = [("user:7", 500)]
    entry = await run_job(ledger, "task-1", limits=limits)
    await ledger.change(entry, lambda old, now: read(old, success(credits=6.0), now))
    await fail_creates(ledger)
    await pass_time(ledger, 61)

    with pytest.raises(OverBudget):
        await lease(ledger, limits=limits)
    assert (await lease(ledger, limits=[("user:7", 900)])).state == "queued"
    assert (await lease(ledger)).state == "leased"
