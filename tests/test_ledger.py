"""What every database has to hold: jobs, money, places in the queue, gates, and the dead. Time passes by SQL."""

from __future__ import annotations

import asyncio
import itertools
import json
from pathlib import Path

import attrs
import pytest

from kie_core._budget import Balance, Limit
from kie_core._entry import (
    Entry,
    Inputs,
    Plan,
    WrongStep,
    abandoned,
    accepted,
    cancelled,
    faded,
    not_submitted,
    read,
    refused,
    requeued,
    unknown,
    waiting,
)
from kie_core._errors import JobKeyTaken, LedgerError, OverBudget, WrongState
from kie_core._gates import FAULTS, GATE_SECONDS
from kie_core._ledger import Callback, Ledger, Superseded
from kie_core._outcome import Artifact, Failure, Outcome, SavedFile
from kie_core._process import here
from kie_core._sqlite import SqliteDatabase

pytestmark = pytest.mark.anyio

ACCOUNT = "account-1"
NUMBERS = itertools.count()
#: Every column that holds a time.
TIMES = {
    "job": ("created_at", "submitted_at", "finished_at", "deadline", "slot", "not_before"),
    "slot": ("next", "not_before"),
    "gate": ("closed_at", "opens_at", "probe_until"),
    "process": ("seen_at",),
    "inbox": ("at",),
}


def make_plan(*, price=100, limits=(), seconds=3600.0, **more):
    return Plan(
        model="veo3", category="veo3", media="video", wire="dedicated", create="/create", query="/query",
        task_param="taskId", callback_field="callBackUrl", contract=price, credits=None, wire_price=price, unit="video",
        kopecks_per_credit="100", limits=tuple(Limit(*limit) for limit in limits), seconds=seconds, **more,
    )  # fmt: skip


def make_entry(*, account=ACCOUNT, fingerprint="f" * 64, inputs=None, job_key=None, kept=True, job_id=None, **plan):
    return Entry(
        id=job_id or f"job-{next(NUMBERS)}", account=account, plan=make_plan(**plan), inputs=inputs,
        fingerprint=fingerprint, job_key=job_key, kept=kept,
    )  # fmt: skip


def success(**facts):
    return Outcome("succeeded", (Artifact("video", "https://files.example.com/1.mp4"),), **facts)


async def sql(ledger, text, **values):
    def work(_):
        return (yield text, values)

    return await ledger.database.run(work)


async def pass_time(ledger, seconds):
    """Let *seconds* pass; fewer than 0: the clock goes back."""

    def work(_):
        for table, columns in TIMES.items():
            changes = ", ".join(f"{column} = {column} - CAST(:seconds AS REAL)" for column in columns)
            yield f"UPDATE {table} SET {changes}", {"seconds": float(seconds)}

    await ledger.database.run(work)


async def lease(ledger, entry=None, *, interval=0.0, most=100, **kinds):
    entry = entry or await ledger.add(make_entry(**kinds))
    return await ledger.claim(entry, interval=interval, most=most)


async def submit(ledger, entry=None, **kinds):
    return await ledger.intend(await lease(ledger, entry, **kinds))


async def run_job(ledger, task_id, **kinds):
    entry = await submit(ledger, **kinds)
    return await ledger.change(entry, lambda old, now: accepted(old, task_id, now), signal="answered")


async def fail_creates(ledger, count=FAULTS):
    """So many creates in a row get no clear answer."""
    for _ in range(count):
        entry = await submit(ledger)
        await ledger.change(entry, lambda old, _: unknown(old, "no answer"), signal="fault")


async def booked(ledger, scope):
    return next(((one.spent, one.reserved) for one in await ledger.balances() if one.scope == scope), None)


async def everything(ledger):
    """All rows of all tables."""
    return {
        name: [dict(row) for row in await sql(ledger, f"SELECT * FROM {name}")] for name in (*TIMES, "budget", "event")
    }


# --- jobs ----------------------------------------------------------------------------------


async def test_a_job_comes_back_as_it_went_in(ledger):
    """Plan, inputs and all; with the ledger's time and the first revision."""
    inputs = Inputs(params={"prompt": "a fox", "n": [1, None, 2.5]}, given=("prompt",), body={"text": "a fox"})
    entry = make_entry(inputs=inputs, limits=[("user:7", 500), ("account:1", None)], folder="/tmp/x")

    added = await ledger.add(entry)

    assert added == attrs.evolve(entry, created_at=added.created_at, revision=1)
    assert await ledger.get(entry.id) == added


async def test_what_a_job_went_through_comes_back(ledger):
    """Outcome, dates and files survive."""
    entry = await run_job(ledger, "task-1")
    outcome = Outcome(
        "succeeded", (Artifact("video", "https://x.example/1.mp4"), Artifact("data", data=[1])), credits=1.5
    )

    ended = await ledger.change(entry, lambda old, now: read(old, outcome, now))
    saved = SavedFile(number=1, path=Path("/tmp/1.mp4"), size=7, sha256="0" * 64, kind="mp4")
    kept = await ledger.change(ended, lambda old, _: attrs.evolve(old, saved=(saved,)))

    assert ended.outcome.artifacts[0].expires_at is not None
    assert await ledger.get(entry.id) == kept


async def test_nobody_is_found_by_a_name_that_does_not_exist(ledger):
    """None, not an error."""
    assert await ledger.get("job-x") is None
    assert await ledger.by_task(ACCOUNT, "task-x") is None
    assert await ledger.find() == []
    assert await ledger.forget("job-x") is False


async def test_a_job_is_found_by_its_task_in_its_account_only(ledger):
    """Task ids of two accounts may be equal."""
    mine = await run_job(ledger, "task-1")
    other = await run_job(ledger, "task-1", account="account-2")

    assert (await ledger.by_task(ACCOUNT, "task-1")).id == mine.id
    assert (await ledger.by_task("account-2", "task-1")).id == other.id


async def test_find_picks_states_account_and_files_newest_first(ledger):
    """Each filter narrows, and the limit cuts."""
    first = await ledger.add(make_entry(kept=False))
    await pass_time(ledger, 1)
    second = await run_job(ledger, "task-1")
    await pass_time(ledger, 1)
    third = await run_job(ledger, "task-2", account="account-2")
    await ledger.change(third, lambda old, now: read(old, success(), now))

    def ids(entries):
        return [entry.id for entry in entries]

    assert ids(await ledger.find()) == [third.id, second.id, first.id]
    assert ids(await ledger.find("running", "queued")) == [second.id, first.id]
    assert ids(await ledger.find(account=ACCOUNT, limit=1)) == [second.id]
    assert ids(await ledger.find(unsaved=True)) == [third.id]
    assert ids(await ledger.find(kept=True, account=ACCOUNT)) == [second.id]


async def test_one_key_and_one_request_are_one_job(ledger):
    """Run again, a script finds its job."""
    first = await ledger.add(make_entry(job_key="scene-1"))

    again = await ledger.add(make_entry(job_key="scene-1"))

    assert again == first
    assert len(await ledger.find()) == 1


@pytest.mark.parametrize("call_off", [False, True])
async def test_a_job_that_is_asked_for_again_takes_the_new_addresses_of_its_files(ledger, call_off):
    """While nothing was bought: the request is the same by the content of its files, and those lie elsewhere now."""
    old, new = (Inputs(params={"url": url}, given=("url",), body={"u": url}) for url in ("https://k/1", "https://k/2"))
    first = await ledger.add(make_entry(job_key="scene-1", inputs=old, uploads_until=1.0))
    if call_off:
        first = await ledger.change(first, lambda one, now: cancelled(one, "by hand", now))

    again = await ledger.add(make_entry(job_key="scene-1", inputs=new, uploads_until=2.0))
    found = await ledger.get(first.id)

    assert (again.id, again.state, again.inputs, again.plan.uploads_until) == (first.id, "queued", new, 2.0)
    assert (found.inputs, found.plan.uploads_until) == (new, 2.0)


async def test_a_bought_job_keeps_the_addresses_that_were_sent(ledger):
    """Whatever is asked for later."""
    old, new = (Inputs(params={}, given=(), body={"u": url}) for url in ("https://k/1", "https://k/2"))
    running = await run_job(ledger, "t1", job_key="scene-1", inputs=old)

    assert (await ledger.add(make_entry(job_key="scene-1", inputs=new))).inputs == old
    assert (await ledger.get(running.id)).inputs == old


async def test_a_key_of_another_request_is_taken(ledger):
    """And nothing changes."""
    first = await ledger.add(make_entry(job_key="scene-1", limits=[("user:7", 500)]))
    before = await everything(ledger)

    with pytest.raises(JobKeyTaken) as caught:
        await ledger.add(make_entry(job_key="scene-1", fingerprint="0" * 64, limits=[("user:7", 900)]))

    assert caught.value.job == first.id
    assert await everything(ledger) == before


async def test_keys_of_two_accounts_and_jobs_without_key_do_not_meet(ledger):
    """A key is unique in its account; no key is no key."""
    jobs = [make_entry(job_key="a"), make_entry(job_key="a", account="account-2"), make_entry(), make_entry()]

    assert len({(await ledger.add(job)).id for job in jobs}) == 4


async def test_an_id_is_given_once(ledger):
    """To add a job again finds it; another request under its id is refused."""
    entry = await ledger.add(make_entry())

    assert await ledger.add(make_entry(job_id=entry.id)) == entry
    with pytest.raises(JobKeyTaken):
        await ledger.add(make_entry(job_id=entry.id, fingerprint="0" * 64))


# --- usage figures -------------------------------------------------------------------------


async def test_what_was_bought_is_told_without_whole_entries(ledger, monkeypatch):
    """Of every job that Kie took or may have taken; what was refused, called off or waits was not bought."""
    entries = [await run_job(ledger, f"task-{number}") for number in range(3)]
    ended = await ledger.change(entries[0], lambda old, now: read(old, success(seconds=12.5, credits=1), now))
    failed = Outcome("failed", error=Failure("no", "1"))
    await ledger.change(entries[1], lambda old, now: read(old, failed, now))
    sent = await submit(ledger)
    lost = await ledger.change(await submit(ledger), lambda old, _: unknown(old, "no answer"))
    given_up = await ledger.change(await submit(ledger), lambda old, _: unknown(old, "no answer"))
    await ledger.change(given_up, abandoned)
    never = await ledger.change(await submit(ledger), lambda old, _: unknown(old, "no answer"))
    await ledger.change(never, not_submitted)
    no = await submit(ledger)
    await ledger.change(no, lambda old, now: refused(old, Failure("no"), now))
    await ledger.add(make_entry())
    await lease(ledger)
    monkeypatch.setattr("kie_core._ledger.entry_of", None)

    told = {(one.state, one.told_seconds, one.spent, one.reserved): one for one in await ledger.bought()}

    assert set(told) == {
        ("succeeded", 12.5, 100, 0), ("failed", None, 100, 0), ("running", None, 0, 100),
        ("submitting", None, 0, 100), ("unknown", None, 0, 100), ("abandoned", None, 100, 0),
    }  # fmt: skip
    one = told["succeeded", 12.5, 100, 0]
    assert (one.model, one.submitted_at, one.finished_at) == ("veo3", ended.submitted_at, ended.finished_at)
    assert {sent.state, lost.state} == {"submitting", "unknown"}


async def test_a_success_whose_results_are_gone_was_a_success(ledger):
    """The vendor made it; that nobody fetched it in time is not the model's failure."""
    entry = await run_job(ledger, "task-1")
    ended = await ledger.change(entry, lambda old, now: read(old, success(seconds=7.0), now))
    await ledger.change(ended, lambda old, _: faded(old))
    late = await run_job(ledger, "task-2", seconds=10.0)
    await pass_time(ledger, 11)
    await ledger.change(late, lambda old, now: read(attrs.evolve(old, submitted_at=now - 11), Outcome("running"), now))

    assert sorted((one.state, one.told_seconds) for one in await ledger.bought()) == [
        ("expired", None),
        ("succeeded", 7.0),
    ]


async def test_figures_are_of_one_account_or_of_the_last_days(ledger):
    """By the ledger's own clock, from the moment at which a job was sent."""
    await run_job(ledger, "task-1")
    await pass_time(ledger, 3 * 86400)
    await run_job(ledger, "task-2", account="account-2")

    assert len(await ledger.bought()) == 2
    assert len(await ledger.bought(account=ACCOUNT)) == 1
    assert len(await ledger.bought(seconds=2 * 86400.0)) == 1
    assert len(await ledger.bought(seconds=4 * 86400.0)) == 2
    assert len(await ledger.bought(seconds=float("inf"))) == 2
    assert await ledger.bought(account=ACCOUNT, seconds=2 * 86400.0) == []


async def test_every_job_is_told_once_however_many_pages_it_takes(ledger, monkeypatch):
    """Also where the last page is full."""
    monkeypatch.setattr("kie_core._ledger.PAGE", 2)
    assert await ledger.bought() == []
    for count in range(1, 6):
        await run_job(ledger, f"task-{count}", price=count)

        assert sorted(one.reserved for one in await ledger.bought()) == list(range(1, count + 1))


async def test_figures_survive_numbers_that_are_not_json(ledger):
    """Plugins may leave NaN, and a database would refuse to look into such a text."""
    entry = await run_job(ledger, "task-1")
    odd = Outcome("succeeded", (Artifact("data", data=[float("inf")]),), seconds=float("nan"))
    await ledger.change(entry, lambda old, now: attrs.evolve(old, state="succeeded", outcome=odd, finished_at=None))

    (one,) = await ledger.bought()

    assert (one.state, one.seconds) == ("succeeded", None)


# --- steps ---------------------------------------------------------------------------------


async def test_a_step_from_an_old_revision_changes_nothing(ledger):
    """Who looked before somebody else wrote has to look again."""
    old = await ledger.add(make_entry())
    await lease(ledger, old)
    before = await everything(ledger)

    with pytest.raises(Superseded):
        await ledger.change(old, lambda entry, now: cancelled(entry, "by hand", now), signal="unauthorized")

    assert await everything(ledger) == before


async def test_a_wrong_step_changes_nothing(ledger):
    """Neither the job nor what the signal would do to the account."""
    entry = await run_job(ledger, "task-1", limits=[("user:7", 500)])
    before = await everything(ledger)

    with pytest.raises(WrongStep):
        await ledger.change(entry, lambda old, now: cancelled(old, "by hand", now), signal="unauthorized")

    assert await everything(ledger) == before


async def test_a_step_that_changes_nothing_writes_nothing(ledger):
    """No revision, no event."""
    entry = await ledger.add(make_entry())

    assert await ledger.change(entry, lambda old, _: old) is entry
    assert len(await ledger.events(entry.id)) == 1


async def test_of_many_at_once_one_wins(ledger):
    """Twelve callers take one job: one has it, eleven are told."""
    entry = await ledger.add(make_entry())

    answers = await asyncio.gather(*(lease(ledger, entry) for _ in range(12)), return_exceptions=True)

    assert sorted(type(answer).__name__ for answer in answers) == ["Entry", *["Superseded"] * 11]


async def test_every_step_leaves_one_event_that_tells_the_row(ledger):
    """The history is complete: each event starts where the last ended, and the last is the row."""
    entry = await submit(ledger, limits=[("user:7", 500)])
    entry = await ledger.change(entry, lambda old, _: waiting(old, "Kie is busy"), signal="limited", pause=0.0)
    entry = await submit(ledger, entry)
    entry = await ledger.change(entry, lambda old, _: unknown(old, "no answer"))
    entry = await ledger.change(entry, not_submitted)
    entry = await ledger.change(entry, lambda old, _: requeued(old), note="by hand")
    entry = await submit(ledger, entry)
    entry = await ledger.change(entry, lambda old, now: accepted(old, "task-1", now))
    entry = await ledger.change(entry, lambda old, now: read(old, success(credits=0.75), now))

    events = await ledger.events(entry.id)

    assert [event.state for event in events] == [
        "queued", "leased", "submitting", "queued", "leased", "submitting", "unknown", "not_submitted", "queued",
        "leased", "submitting", "running", "succeeded",
    ]  # fmt: skip
    assert [event.was for event in events] == ["queued", *(event.state for event in events[:-1])]
    assert len(events) == entry.revision
    assert (events[-1].reserved, events[-1].spent) == (entry.reserved, entry.spent) == (0, 75)
    assert {event.owner for event in events} == {ledger.owner}
    assert await booked(ledger, "user:7") == (75, 0)


async def test_one_task_belongs_to_one_job(ledger):
    """A second job that claims the task is refused, and stays as it was."""
    first = await run_job(ledger, "task-1")
    second = await submit(ledger)

    assert (await ledger.by_task(ACCOUNT, "task-1")).id == first.id
    with pytest.raises(LedgerError) as caught:
        await ledger.change(second, lambda old, now: accepted(old, "task-1", now))

    assert caught.value.kind == ""
    assert await ledger.get(second.id) == second


# --- money ---------------------------------------------------------------------------------


async def test_a_budget_can_be_used_up_and_not_overdrawn(ledger):
    """To the kopeck: the last job fits, one kopeck more does not, and that job stays as it was."""
    limits = [("user:7", 1000)]
    entry = await lease(ledger, price=1, limits=limits)
    await submit(ledger, price=600, limits=limits)
    await submit(ledger, price=400, limits=limits)
    with pytest.raises(OverBudget):
        await lease(ledger, price=1, limits=limits)
    before = await everything(ledger)

    with pytest.raises(OverBudget) as caught:
        await ledger.intend(entry)

    assert (caught.value.scope, caught.value.price, caught.value.limit) == ("user:7", 1, 1000)
    assert (caught.value.spent, caught.value.reserved) == (0, 1000)
    assert await everything(ledger) == before
    assert (await ledger.get(entry.id)).state == "leased"


async def test_of_several_scopes_all_are_booked_or_none(ledger):
    """The scope that has enough is not touched when the other has not."""
    await submit(ledger, price=100, limits=[("a", 1000), ("b", 150), ("c", None)])

    with pytest.raises(OverBudget):
        await submit(ledger, price=100, limits=[("a", 1000), ("b", 150), ("c", None)])

    assert await ledger.balances() == [
        Balance("a", 1000, 0, 100),
        Balance("b", 150, 0, 100),
        Balance("c", None, 0, 100),
    ]


@pytest.mark.parametrize(
    "step",
    [
        lambda old, now: waiting(old, "Kie is busy", now + 5),
        lambda old, now: refused(old, Failure("no", "422"), now),
    ],
)
async def test_what_was_not_bought_is_released(ledger, step):
    """Kie said no, for now or for good."""
    entry = await submit(ledger, limits=[("user:7", 500)])

    await ledger.change(entry, step)

    assert await booked(ledger, "user:7") == (0, 0)


async def test_what_may_be_bought_stays_reserved(ledger):
    """An unknown create holds its price until a person decides."""
    entry = await submit(ledger, limits=[("user:7", 500)])
    entry = await ledger.change(entry, lambda old, _: unknown(old, "no answer"))

    assert await booked(ledger, "user:7") == (0, 100)
    await ledger.change(entry, not_submitted)
    assert await booked(ledger, "user:7") == (0, 0)


async def test_a_late_task_books_its_price_again(ledger):
    """A person said "never seen", and a callback brings the task."""
    entry = await submit(ledger, limits=[("user:7", 500)])
    entry = await ledger.change(entry, lambda old, _: unknown(old, "no answer"))
    entry = await ledger.change(entry, not_submitted)

    await ledger.change(entry, lambda old, now: accepted(old, "task-1", now))

    assert await booked(ledger, "user:7") == (0, 100)


async def test_a_job_that_costs_more_than_the_limit_closes_the_gate_of_its_scope(ledger):
    """What was spent is true; the next job waits for a person, and others are free."""
    limits = [("user:7", 500)]
    entry = await run_job(ledger, "task-1", limits=limits)

    await ledger.change(entry, lambda old, now: read(old, success(credits=6.0), now))

    assert await booked(ledger, "user:7") == (600, 0)
    assert [(gate.name, gate.kind) for gate in await ledger.gates()] == [("budget:user:7", "budget")]
    for kept in (True, False):
        assert (await lease(ledger, limits=limits, kept=kept)).state == "queued"
    assert (await lease(ledger, limits=[("user:8", 500)])).state == "leased"
    assert await ledger.open_gate("budget:user:7") is True
    assert await ledger.open_gate("budget:user:7") is False


async def test_the_limit_that_was_given_last_is_shown(ledger):
    """With what was booked before."""
    await submit(ledger, limits=[("user:7", 500)])
    await ledger.add(make_entry(limits=[("user:7", 900)]))

    assert await ledger.balances() == [Balance("user:7", 900, 0, 100)]
    assert (await ledger.balances())[0].left == 800


async def test_a_reset_counts_anew_and_changes_no_job(ledger):
    """What was spent counts no more, what is reserved does; the gate is open, and jobs keep what they cost."""
    limits = [("user:7", 500)]
    done = await run_job(ledger, "task-1", limits=limits)
    done = await ledger.change(done, lambda old, now: read(old, success(credits=6.0), now))
    await run_job(ledger, "task-2", price=30, limits=[("user:7", 900)])
    assert [gate.name for gate in await ledger.gates()] == ["budget:user:7"]

    balance = await ledger.reset("user:7")

    assert (balance.spent, balance.reserved, balance.left) == (0, 30, 870)
    assert balance.reset_at == pytest.approx(await ledger.time(), abs=60)
    assert await ledger.balances() == [balance]
    assert await ledger.gates() == []
    assert (await ledger.get(done.id)).spent == 600
    assert await ledger.reset("user:8") is None


async def test_after_a_reset_the_limit_holds_as_before(ledger):
    """To the kopeck."""
    limits = [("user:7", 500)]
    done = await run_job(ledger, "task-1", price=500, limits=limits)
    await ledger.change(done, lambda old, now: read(old, success(credits=5.0), now))
    with pytest.raises(OverBudget):
        await submit(ledger, price=1, limits=limits)
    await ledger.reset("user:7")

    await submit(ledger, price=500, limits=limits)
    with pytest.raises(OverBudget) as caught:
        await submit(ledger, price=1, limits=limits)

    assert (caught.value.spent, caught.value.reserved) == (0, 500)


async def test_what_was_spent_before_a_reset_and_comes_back_is_booked_truly(ledger):
    """A job that was written off turns out to run: its price counts again, against the limit as it is now."""
    entry = await submit(ledger, limits=[("user:7", 500)])
    entry = await ledger.change(entry, lambda old, _: unknown(old, "no answer"))
    entry = await ledger.change(entry, abandoned)
    await ledger.reset("user:7")

    entry = await ledger.change(entry, lambda old, now: accepted(old, "task-1", now))
    assert await booked(ledger, "user:7") == (0, 100)
    await ledger.change(entry, lambda old, now: read(old, success(credits=1.0), now))

    assert await booked(ledger, "user:7") == (100, 0)


async def test_a_scope_names_the_jobs_that_count_on_it(ledger):
    """Those of its own, the newest first, without those that ended before the last reset; an account has all its jobs."""
    mine = [("user:7", 500), (f"account:{ACCOUNT}", None)]
    old = await run_job(ledger, "task-1", limits=mine)
    await ledger.change(old, lambda entry, now: read(entry, success(credits=1.0), now))
    going = await run_job(ledger, "task-2", limits=mine)
    other = await ledger.add(make_entry(limits=[("user:8", 500)]))
    stranger = await ledger.add(make_entry(account="account-2"))

    async def names(scope):
        return {entry.id for entry in await ledger.booked(scope)}

    assert [entry.id for entry in await ledger.booked("user:7")] == [going.id, old.id]
    assert await names(f"account:{ACCOUNT}") == {old.id, going.id, other.id}
    assert await names("account:account-2") == {stranger.id}
    await pass_time(ledger, 1)
    await ledger.reset("user:7")
    assert await names("user:7") == {going.id}
    assert await names("user:9") == set()


async def test_a_limit_that_was_lowered_holds_for_what_waits(ledger):
    """A job that was planned under a higher one is not bought beyond the one that was said since."""
    waiting_job = await ledger.add(make_entry(price=100, limits=[("user:7", 1000)]))
    leased_job = await lease(ledger, price=100, limits=[("user:7", 1000)])
    await ledger.add(make_entry(price=1, limits=[("user:7", 80)]))

    with pytest.raises(OverBudget) as caught:
        await lease(ledger, waiting_job)
    with pytest.raises(OverBudget):
        await ledger.intend(leased_job)

    assert caught.value.limit == 80
    assert await booked(ledger, "user:7") == (0, 0)


async def test_a_named_limit_holds_for_whoever_names_no_total(ledger):
    """What was last said of the scope; of an account its own settings say it, or nobody."""
    mine = f"account:{ACCOUNT}"
    await submit(ledger, price=100, limits=[("user:7", 150), (mine, 150)])
    with pytest.raises(OverBudget) as caught:
        await submit(ledger, price=100, limits=[("user:7", None)])
    leased_job = await lease(ledger, price=50, limits=[("user:7", None)])
    await submit(ledger, price=50, limits=[("user:7", None)])
    with pytest.raises(OverBudget):
        await ledger.intend(leased_job)
    await submit(ledger, price=100, limits=[(mine, None)])

    assert (caught.value.limit, caught.value.reserved) == (150, 100)
    assert await booked(ledger, "user:7") == (0, 150)


async def test_a_job_that_waits_costs_what_it_costs_when_it_is_asked_for_again(ledger):
    """Its request is the same, its price may have changed."""
    entry = await ledger.add(make_entry(price=8, job_key="row-1"))

    again = await ledger.add(make_entry(price=100, job_key="row-1", job_id=entry.id))

    assert (entry.plan.price, again.plan.price) == (8, 100)


async def test_a_budget_without_a_total_leaves_the_total_that_was_said(ledger):
    """It limits single prices; that of an account is what its own settings say, now."""
    mine = f"account:{ACCOUNT}"
    await ledger.add(make_entry(limits=[("user:7", 500), (mine, 500)]))
    await ledger.add(make_entry(limits=[("user:7", None), (mine, None)]))

    assert {one.scope: one.cap for one in await ledger.balances()} == {"user:7": 500, mine: None}


async def test_a_row_that_cannot_be_read_hides_no_other(ledger, caplog):
    """It is named wherever it would stand, and asking for it is an error of ours."""
    broken, fine = await submit(ledger), await submit(ledger)
    await sql(ledger, "UPDATE job SET course = '{}' WHERE id = :id", id=broken.id)

    assert [entry.id for entry in await ledger.find("submitting")] == [fine.id]
    assert broken.id in caplog.text
    with pytest.raises(LedgerError, match=broken.id) as caught:
        await ledger.get(broken.id)
    assert caught.value.kind == "row"
    assert len(await ledger.bought()) == 2
    await sql(ledger, "UPDATE job SET plan = '{}' WHERE id = :id", id=broken.id)
    assert [one.model for one in await ledger.bought()] == ["veo3"]
    assert await ledger.beat() == []


async def test_a_job_of_another_account_is_not_taken_for_ours(ledger):
    """One job is not bought by two accounts, whatever its id says."""
    known = await ledger.add(make_entry())

    with pytest.raises(WrongState, match="another account"):
        await ledger.add(attrs.evolve(known, account="account-2", revision=0))


async def test_whoever_listens_hears_of_every_job_once_it_is_durable(ledger):
    """As it stands in the ledger then; of a transaction that failed nobody hears."""
    heard = []
    listening = attrs.evolve(ledger, heard=heard.append)

    entry = await listening.add(make_entry())
    leased_entry = await lease(listening, entry)
    with pytest.raises(Superseded):
        await listening.claim(entry, interval=0.0, most=100)
    sent = await listening.intend(leased_entry)

    assert heard == [entry, leased_entry, sent]
    assert await ledger.get(entry.id) == sent


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

    assert (back.state, back.reason) == ("queued", "no credits")
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
        assert (held.state, held.not_before) == ("queued", pytest.approx(gate.opens_at))


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

    assert (await lease(ledger, kept=True)).reason == "no"
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

    assert (await lease(ledger, limits=limits)).state == "queued"
    assert (await lease(ledger)).state == "leased"


# --- processes -----------------------------------------------------------------------------


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


# --- callbacks -----------------------------------------------------------------------------


async def test_a_callback_is_stored_once(ledger):
    """A repetition is known, a second stage of the same task is not one."""
    entry = await run_job(ledger, "task-1")

    answers = [await ledger.receive(ACCOUNT, None, "task-1", digest) for digest in ("d1", "d1", "d2")]

    assert answers == ["stored", "duplicate", "stored"]
    assert await ledger.callbacks(ACCOUNT) == [Callback("task-1", "d1", entry.id), Callback("task-1", "d2", entry.id)]
    assert await ledger.callbacks(ACCOUNT, "job-x") == []
    assert await ledger.callbacks("account-2") == []


async def test_a_callback_for_nobody_is_not_stored(ledger):
    """Neither by task, nor by job, nor for the wrong account."""
    entry = await run_job(ledger, "task-1")

    assert await ledger.receive(ACCOUNT, None, "task-2", "d") == "unknown"
    assert await ledger.receive(ACCOUNT, "job-x", "task-1", "d") == "unknown"
    assert await ledger.receive("account-2", entry.id, "task-1", "d") == "unknown"
    assert await sql(ledger, "SELECT * FROM inbox") == []


async def test_an_address_that_names_the_job_brings_its_task(ledger):
    """The task of a create whose answer was lost."""
    entry = await ledger.change(await submit(ledger), lambda old, _: unknown(old, "no answer"))

    assert await ledger.receive(ACCOUNT, entry.id, "task-9", "d") == "stored"
    assert await ledger.callbacks(ACCOUNT, entry.id) == [Callback("task-9", "d", entry.id)]


async def test_a_callback_is_handled_once_and_remembered_for_a_while(ledger):
    """Its repetition stays a duplicate; after a month it is forgotten."""
    entry = await run_job(ledger, "task-1")
    await ledger.receive(ACCOUNT, None, "task-1", "d1")
    [callback] = await ledger.callbacks(ACCOUNT)

    await ledger.handled(ACCOUNT, callback, "a callback told nothing new")

    assert await ledger.callbacks(ACCOUNT) == []
    assert await ledger.receive(ACCOUNT, None, "task-1", "d1") == "duplicate"
    assert (await ledger.events(entry.id))[-1].note == "a callback told nothing new"
    await pass_time(ledger, 31 * 86400)
    await ledger.handled(ACCOUNT, callback)
    assert await sql(ledger, "SELECT * FROM inbox") == []


# --- texts and numbers ---------------------------------------------------------------------

ODD_TEXTS = {
    "nul": "a\0b",
    "half a surrogate": "a\ud800b",
    "right to left": "\u202eابجد\u202c",
    "emoji": "🦊👩\u200d👩\u200d👧",
    "a megabyte": "x" * 1_000_000,
    "sql": "'; DROP TABLE job; -- :name $1 %s",
}


@pytest.mark.parametrize("name", ODD_TEXTS)
async def test_odd_texts_survive(ledger, name):
    """In inputs, reasons and outcomes, on every database."""
    text = ODD_TEXTS[name]
    inputs = Inputs(params={"prompt": text, text[:50]: 1}, given=(text,), body={"text": [text]})
    entry = await submit(ledger, await ledger.add(make_entry(inputs=inputs)))

    ended = await ledger.change(entry, lambda old, now: refused(old, Failure(text, text), now), signal="fault")

    found = await ledger.get(entry.id)
    assert found == ended
    assert (found.inputs, found.outcome.error.message, found.reason) == (inputs, text, text)
    assert len((await ledger.events(entry.id))[-1].note) <= 1000


@pytest.mark.parametrize("name", ODD_TEXTS)
async def test_an_odd_name_is_kept_or_refused(ledger, name):
    """Names are columns: what a database cannot hold is an error of the ledger, and it goes on."""
    text = ODD_TEXTS[name][:500]

    try:
        entry = await ledger.add(make_entry(job_key=text))
    except LedgerError as error:
        assert name in ("nul", "half a surrogate")
        assert error.kind == ""
    else:
        assert (await ledger.get(entry.id)).job_key == text
    assert (await ledger.add(make_entry(job_key="plain"))).revision == 1


@pytest.mark.parametrize("price", [2**63, 2**70, 10**400])
async def test_a_number_that_no_database_holds_is_refused(ledger, price):
    """As an error of the ledger, which says nothing of damage."""
    entry = await lease(ledger, price=price)

    with pytest.raises(LedgerError) as caught:
        await ledger.intend(entry)

    assert caught.value.kind == ""
    assert (await ledger.get(entry.id)).state == "leased"


async def test_the_largest_numbers_fit(ledger):
    """Up to what 64 bits hold."""
    entry = await submit(ledger, price=2**62, limits=[("user:7", 2**62)])

    assert (await ledger.get(entry.id)).reserved == 2**62


async def test_inputs_can_be_forgotten(ledger):
    """The job stays, and its history says so."""
    inputs = Inputs(params={"prompt": "secret"}, given=("prompt",), body={"text": "secret"})
    entry = await ledger.add(make_entry(inputs=inputs))

    assert await ledger.forget(entry.id) is True

    assert (await ledger.get(entry.id)).inputs is None
    assert "forgotten" in (await ledger.events(entry.id))[-1].note
    assert "secret" not in json.dumps(await everything(ledger))
    assert (await lease(ledger, entry)).state == "leased"


# --- transactions --------------------------------------------------------------------------


async def test_what_raises_writes_nothing(ledger):
    """Whatever was written before in the same transaction is rolled back."""
    entry = await ledger.add(make_entry())

    def work(_):
        yield "UPDATE job SET state = 'failed'", {}
        raise KeyError("x")

    with pytest.raises(KeyError):
        await ledger.database.run(work)
    assert await ledger.get(entry.id) == entry


async def test_a_reader_may_not_write(two_ledgers):
    """What is called a question is not kept as an answer; nobody is locked out."""
    one, two = two_ledgers
    entry = await one.add(make_entry())

    assert await two.get(entry.id) == entry
    assert await one.find() == await two.find() == [entry]


async def test_a_caller_who_is_cancelled_leaves_no_half_transaction(ledger):
    """All of it was written, or nothing; and the ledger goes on."""
    limits = [("user:7", 10_000)]
    entries = [await lease(ledger, limits=limits) for _ in range(20)]

    async def impatient(entry, turns):
        task = asyncio.create_task(ledger.intend(entry))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    await asyncio.gather(*(impatient(entry, turns * 3) for turns, entry in enumerate(entries)))
    if ledger.database.place == "memory:":
        await ledger.find()  # one after the other
    else:
        await ledger.close()  # waits for what is under way

    found = [await ledger.get(entry.id) for entry in entries]
    sent = sum(entry.state == "submitting" for entry in found)
    assert {entry.state for entry in found} <= {"leased", "submitting"}
    assert await booked(ledger, "user:7") == (0, sent * 100)
    assert [len(await ledger.events(entry.id)) for entry in found] == [entry.revision for entry in found]


async def test_a_ledger_can_be_opened_again(two_ledgers):
    """After close the next call opens it, and everything is there."""
    ledger, _ = two_ledgers
    entry = await ledger.add(make_entry())

    await ledger.close()
    await ledger.close()

    assert await ledger.get(entry.id) == entry
