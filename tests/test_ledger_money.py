"""What every database has to hold of money: what is reserved, spent and released, and no limit is exceeded."""

from __future__ import annotations

import attrs
import pytest

from kie_core._budget import Balance
from kie_core._errors import LedgerError, OverBudget, WrongState
from kie_core._jobs.outcome import Failure
from kie_core._ledger.entry import abandoned, accepted, not_submitted, read, refused, unknown, waiting
from kie_core._ledger.ledger import Superseded

from .ledger_steps import ACCOUNT, booked, everything, lease, make_entry, pass_time, run_job, sql, submit, success

pytestmark = pytest.mark.anyio


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
    """What was spent is true; the next job is told so, or waits for a person under a higher limit; others are free."""
    limits = [("user:7", 500)]
    entry = await run_job(ledger, "task-1", limits=limits)

    await ledger.change(entry, lambda old, now: read(old, success(credits=6.0), now))

    assert await booked(ledger, "user:7") == (600, 0)
    assert [(gate.name, gate.kind) for gate in await ledger.gates()] == [("budget:user:7", "budget")]
    for kept in (True, False):
        with pytest.raises(OverBudget) as caught:
            await lease(ledger, limits=limits, kept=kept)
        assert (caught.value.limit, caught.value.spent, caught.value.reserved) == (500, 600, 0)
        assert (await lease(ledger, limits=[("user:7", 900)], kept=kept)).state == "queued"
    held = await lease(ledger, limits=[("user:7", 900)])
    assert held.reason.endswith("kie gate open budget:user:7")
    assert (await lease(ledger, limits=[("user:8", 500)])).state == "leased"
    assert await ledger.open_gate("budget:user:7") is True
    assert await ledger.open_gate("budget:user:7") is False


async def test_an_account_without_a_limit_is_not_held_back_by_the_one_that_it_had(ledger):
    """Nothing is limited unless somebody says so."""
    own = f"account:{ACCOUNT}"
    entry = await run_job(ledger, "task-1", limits=[(own, 500)])
    await ledger.change(entry, lambda old, now: read(old, success(credits=6.0), now))
    assert [gate.name for gate in await ledger.gates()] == [f"budget:{own}"]

    assert (await submit(ledger, limits=[(own, None)])).state == "submitting"
    assert (await lease(ledger, limits=[(own, 900)])).state == "queued"


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
