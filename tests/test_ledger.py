"""What every database has to hold: jobs, their steps, what they came to, callbacks, odd texts, whole transactions."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import attrs
import pytest

from kie_core._errors import JobKeyTaken, LedgerError
from kie_core._jobs.outcome import Artifact, Failure, Outcome, SavedFile
from kie_core._ledger.entry import (
    Inputs,
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
from kie_core._ledger.ledger import Callback, Superseded

from .ledger_steps import ACCOUNT, booked, everything, lease, make_entry, pass_time, run_job, sql, submit, success

pytestmark = pytest.mark.anyio


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


async def test_jobs_that_only_run_are_picked_out_of_many(ledger):
    """Of this account, with no callback that waits; what is unknown, or in another state, is left out."""
    running, called, heeded = [await run_job(ledger, f"task-{number}") for number in range(3)]
    other = await run_job(ledger, "task-9", account="account-2")
    queued = await ledger.add(make_entry())
    for entry in (called, heeded):
        await ledger.receive(ACCOUNT, entry.id, entry.task_id, "digest")
    await ledger.handled(ACCOUNT, Callback(heeded.task_id, "digest", heeded.id))

    ids = [running.id, called.id, heeded.id, other.id, queued.id, "nobody"]
    found = {entry.id: entry for entry in await ledger.running(ACCOUNT, ids)}

    assert sorted(found) == sorted([running.id, heeded.id])
    assert found[running.id] == await ledger.get(running.id)


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


async def test_a_job_that_is_asked_for_again_after_it_was_forgotten_can_be_sent(ledger):
    """By whoever drives it: its inputs are there again."""
    inputs = Inputs(params={"prompt": "a fox"}, given=("prompt",), body={"text": "a fox"})
    first = await ledger.add(make_entry(job_key="scene-1", inputs=inputs))
    await ledger.forget(first.id)

    again = await ledger.add(make_entry(job_key="scene-1", inputs=inputs))

    assert (again.id, again.inputs) == (first.id, inputs)
    assert (await ledger.get(first.id)).inputs == inputs


async def test_a_bought_job_keeps_the_addresses_that_were_sent(ledger):
    """Whatever is asked for later."""
    old, new = (Inputs(params={}, given=(), body={"u": url}) for url in ("https://k/1", "https://k/2"))
    running = await run_job(ledger, "t1", job_key="scene-1", inputs=old)

    assert (await ledger.add(make_entry(job_key="scene-1", inputs=new))).inputs == old
    assert (await ledger.get(running.id)).inputs == old
    await ledger.forget(running.id)
    assert (await ledger.add(make_entry(job_key="scene-1", inputs=new))).inputs is None


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
    monkeypatch.setattr("kie_core._ledger.ledger.entry_of", None)

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
    monkeypatch.setattr("kie_core._ledger.ledger.PAGE", 2)
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
